"""The folder in a node's shared memory that the ranks of one launch share, and that goes with the
last of them.

Whoever uses it holds a shared lock on a file in it, which the kernel drops however a process ends;
a folder that nobody holds is abandoned. The launcher makes it on its own node, the ranks on the
others.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

PREFIX = "esengine-"
LOCK = "alive"


def join(folder: Path) -> int:
    """Hold a folder, and make it if it is not there; returns the descriptor that holds it."""
    if not folder.exists():
        remove_abandoned(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def leave(folder: Path, descriptor: int) -> None:
    """Let go of a folder, and remove it if nobody else holds it."""
    if _is_alone(descriptor):
        shutil.rmtree(folder, ignore_errors=True)
    os.close(descriptor)


def remove_abandoned(root: Path) -> list[Path]:
    """Remove the folders below ``root`` whose processes were all killed, and return them."""
    removed = []
    for folder in root.glob(f"{PREFIX}*"):
        try:
            descriptor = os.open(folder / LOCK, os.O_RDWR)
        except OSError:
            continue  # another user's, or one that is being removed at this moment
        if _is_alone(descriptor):
            removed.append(folder)
        leave(folder, descriptor)
    return removed


def _is_alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
