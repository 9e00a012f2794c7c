"""The folder that the processes of one launch share on a node, in its shared memory or, if that is
missing or read-only, where temporary files are. The last process removes it.

Each process holds a shared lock on a file in the folder, which the kernel releases however the
process ends. A folder that no process holds is abandoned. The launcher creates the folder on its
own node, the ranks create it on the other nodes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from esengine.errors import UserError

ROOT = Path(os.environ.get("ESENGINE_SHM_ROOT", "/dev/shm"))
PREFIX = "esengine-"
LOCK = "alive"
_held: set[int] = set()  # descriptors of this process


def find_root(num_bytes: int = 0) -> Path:
    """The folder for the folders of launches.

    Args:
        num_bytes: that MPI's segments need there.

    Raises:
        UserError: no folder can be written.
    """
    writable = [
        root for root in (ROOT, _temporary()) if root and os.access(root, os.W_OK | os.X_OK)
    ]
    if not writable:
        raise UserError(
            f"local ranks need a folder that can be written for files that they share, and neither "
            f"{ROOT} nor any folder for temporary files can be; set TMPDIR to one"
        )
    return next((root for root in writable if _room(root) >= num_bytes), writable[0])


def _temporary() -> Path | None:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return None


def _room(root: Path) -> int:
    status = os.statvfs(root)
    return status.f_bavail * status.f_frsize


def join(folder: Path) -> int:
    """Hold a folder, created if necessary, and return the file descriptor that holds it."""
    if not folder.exists():
        remove_abandoned(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    _held.add(descriptor)
    return descriptor


def leave(folder: Path, descriptor: int) -> None:
    """Release a folder, and remove it if no other process holds it."""
    with suppress(OSError):  # user code has closed what it has not opened
        if _is_alone(descriptor):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
    _held.discard(descriptor)


def remove_abandoned(root: Path) -> list[Path]:
    """Remove the folders below ``root`` whose processes were all killed, and return them."""
    removed = []
    for folder in root.glob(f"{PREFIX}*"):
        try:
            descriptor = os.open(folder / LOCK, os.O_RDWR)
        except OSError:
            continue  # another user's folder, or one that is being removed

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


def _after_fork() -> None:
    """In a forked child: leave the folders to the parent, which a child may outlive."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_after_fork)
