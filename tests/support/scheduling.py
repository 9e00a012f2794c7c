"""How several processes share the tests: by files, those that take long first, so that all
processes end together.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

LONG = (
    "tests/slurm",
    "tests/mpi/test_ranks.py",
    "tests/test_learning.py",
    "tests/test_readme.py",
    "tests/launch/test_signals.py",
    "tests/chaos",
    "tests/mpi",
    "tests/launch/results/test_failures.py",
    "tests/launch/test_bad_input.py",
    "tests/test_examples.py",
    "tests/launch",
    "tests/test_package.py",
)
"""Files and folders whose tests come first, in this order."""
QUICK = (
    *("tests/test_layers.py", "tests/test_names_in_prose.py", "tests/test_words.py"),
    *("tests/esengine", "tests/algorithms", "tests/launch/settings"),
)
"""Files and folders of `make quick`: one process, no mpirun."""
NOT_QUICK = (
    *("tests/algorithms/imitation/test_guided", "tests/algorithms/evolution/test_restarts.py"),
    *("tests/launch/settings/test_planners.py", "tests/algorithms/evolution/test_integer_margin"),
    *("tests/algorithms/test_contract.py", "tests/esengine/test_compiled.py"),
    *(
        "tests/algorithms/evolution/test_lm_ma_es.py",
        "tests/algorithms/evolution/test_separable.py",
    ),
)
"""Files of these folders that take longest."""
_TOGETHER = ("tests/slurm",)  # one cluster for all
_APART = (
    "tests/test_learning.py",
    "tests/test_readme.py",
    "tests/test_examples.py",
)  # these share nothing


def place(nodeid: str) -> int:
    """Where a test comes in the order."""
    return next(
        (index for index, prefix in enumerate(LONG) if nodeid.startswith(prefix)), len(LONG)
    )


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a whole file to one process, since its tests may share what was made for them."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_APART):
            return nodeid
        return next(
            (prefix for prefix in _TOGETHER if nodeid.startswith(prefix)), nodeid.partition("::")[0]
        )
