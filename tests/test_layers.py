"""Imports run one way: a package imports only from those that stand before it here."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter

from tests.support.modules import imports, modules, package_of, sources, tree

ORDER = {
    "esengine": (
        *(
            "late_names",
            "errors",
            "memory",
            "compiled",
            "seeding",
            "checks",
            "storage",
            "user_code",
        ),
        *(
            "ranks",
            "programs",
            "noise",
            "environments",
            "candidates",
            "policies",
            "simulators",
        ),
        *("repertoires", "problems", "isolation", "pool", "demonstrations", "rewards", "goals"),
        "models",
        "planning",
    ),
    "algorithms": (
        *(
            "strategy",
            "saved_state",
            "adam_state",
            "evolution",
            "novelty",
            "quality_diversity",
            "constraints",
            "planners",
            "imitation",
            "models",
            "goals",
        ),
        *("policy_gradient", "inverse_rl", "trial_runs", "testing", "__init__"),
    ),
    "launch": (
        *("__init__", "command_table", "settings", "mpirun", "runs", "terminal", "training"),
        *("bench", "demonstrations", "results", "slurm", "python", "doctor", "api", "cli"),
    ),
}
"""Packages and modules of the three folders, the lowest first."""

ROOT = ("esengine/__init__", "esengine/__main__")
"""These import names of all folders, when they are asked for."""

MOST_FILES = {"esengine": 7, "algorithms": 7, "launch": 5}
"""Files beside the packages of a folder."""


def test_a_package_imports_only_from_those_before_it() -> None:
    order = [f"{folder}/{name}" for folder, names in ORDER.items() for name in names]
    wrong = []
    for module in modules():
        here = package_of(module)
        for other in imports(module) - {"esengine"}:
            there = package_of(other)
            if here not in ROOT and order.index(there) > order.index(here):
                wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_the_order_names_what_exists() -> None:
    order = {f"{folder}/{name}" for folder, names in ORDER.items() for name in names}
    assert order | set(ROOT) == {package_of(module) for module in modules()}


def test_modules_import_in_no_circle() -> None:
    graph = {module: imports(module) - {"esengine"} for module in modules()}
    TopologicalSorter({module: others for module, others in graph.items()}).prepare()


def test_few_files_stand_beside_the_packages() -> None:
    for folder, most in MOST_FILES.items():
        beside = {
            package_of(module) for module, path in modules().items() if path.parent.name == folder
        }
        assert len([name for name in beside if name.startswith(f"{folder}/")]) <= most, folder


def test_helpers_of_several_tests_are_in_support() -> None:
    wrong = [
        path.name
        for path in sources("tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and ".test_" in f".{node.module}"
    ]
    assert wrong == []
