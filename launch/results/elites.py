"""Which policy of a path a command is about: a policy file, that of a run, or an elite of an
archive.
"""

from __future__ import annotations

from pathlib import Path

from esengine.errors import UserError
from esengine.policies import Policy, load_policy
from esengine.repertoires import load_archive


def policy_at(path: Path, cell: str | None) -> Policy:
    """The policy of a path, or the elite of a cell of its archive.

    Args:
        path: a run directory, a policy file or, with a cell, an archive file.
        cell: its number along each measure, such as ``3,7``; ``best`` for the best elite; None for
            the policy of the path.

    Raises:
        UserError: there is no such policy, or the cell is empty.
    """
    if cell is None:
        return load_policy(path)
    archive = load_archive(path)
    if cell == "best":
        return archive.policy_of(archive.best())
    try:
        numbers = [int(number) for number in cell.split(",")]
    except ValueError:
        raise UserError(
            f"--cell must be the numbers of a cell, or best, got {cell!r:.80}; for example --cell "
            f"3,7"
        ) from None
    return archive.policy_of(archive.elite_of(numbers))
