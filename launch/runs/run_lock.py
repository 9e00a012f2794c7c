"""One writer a run directory: the file ``lock`` names it, and the kernel holds it where the file
system has flock.

The kernel drops a lock with its process, however that ends. Where there is no flock, or one that
other nodes do not see (Lustre mounted without ``flock`` or with ``localflock``), the file itself is
the lock, and whether its owner still lives is judged by host, process, the process's start and
Slurm's job.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from esengine.errors import UserError
from esengine.launch.mpirun.slurm_allocation import Allocation
from esengine.storage.files import parse_json, read_bytes

_NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
_MOST_BYTES = 4096


class Owner(NamedTuple):
    """Who writes in a run directory.

    Attributes:
        host: name of its machine.
        pid: its process there.
        started: what tells the process from others of its number: the boot, the process namespace,
            and the start in ticks.
        job: its Slurm job, or None.
        restarts: starts of that job before this one.
    """

    host: str
    pid: int
    started: str
    job: str | None
    restarts: int = 0

    @classmethod
    def this_process(cls) -> Owner:
        allocation = Allocation.current()
        job, restarts = (None, 0) if allocation is None else (allocation.job, allocation.restarts)
        return cls(
            socket.gethostname(),
            os.getpid(),
            f"{_machine()} {_start_of(os.getpid())}",
            job,
            restarts,
        )

    @classmethod
    def read(cls, path: Path) -> Owner | None:
        """Who the file names, or None if it names nobody."""
        try:
            record = parse_json(read_bytes(path, _MOST_BYTES))
        except (OSError, ValueError):
            return None
        if not (
            isinstance(record, dict)
            and isinstance(record.get("pid"), int)
            and isinstance(record.get("host"), str)
        ):
            return None
        job = record.get("job")
        restarts = record.get("restarts")
        return cls(
            record["host"],
            record["pid"],
            str(record.get("started")),
            None if job is None else str(job),
            restarts if isinstance(restarts, int) else 0,
        )

    def has_ended(self) -> bool | None:
        """Whether its process has ended; None if that cannot be known from here."""
        machine, _, start = self.started.rpartition(" ")
        if self.host == socket.gethostname() and machine == _machine():
            return _start_of(self.pid) != start
        if self.host == socket.gethostname() and machine.split(" ")[0] != _machine().split(" ")[0]:
            return True  # this machine was started anew since
        return True if self.is_earlier_start() else None

    def is_earlier_start(self) -> bool:
        """Whether it wrote in an earlier start of this very Slurm job, which Slurm ends on all
        nodes before it starts anew.
        """
        allocation = Allocation.current()
        if allocation is None or self.job != allocation.job or self.host == socket.gethostname():
            return False
        return self.restarts < allocation.restarts

    def __str__(self) -> str:
        job = f" (job {self.job})" if self.job else ""
        return f"process {self.pid} on {self.host!r}{job}".replace("'", "")


class RunLock:
    """The lock of one run directory, held by this process until `release`.

    Args:
        folder: the run directory.

    Raises:
        UserError: another living process writes there, or nobody can.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "lock"
        self._descriptor: int | None = None
        self.is_handed_down = False
        """Whether forked copies of this process hold the lock, too."""
        record = json.dumps(Owner.this_process()._asdict()).encode()
        try:
            if _flock_is_local(folder) or not self._take_flock(record):
                self._take_file(record)
        except OSError as error:
            raise UserError(
                f"a run directory must be writable, got {folder}: {error.strerror}; copy it "
                f"elsewhere"
            ) from error
        os.register_at_fork(after_in_child=self._after_fork)

    def is_held(self) -> bool:
        """Whether the file is still the one that was locked, and nobody else's."""
        try:
            found = os.stat(self._path)
        except OSError:
            return False
        if self._descriptor is None:
            return Owner.read(self._path) == Owner.this_process()
        mine = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def release(self) -> None:
        """Give up writing."""
        with suppress(OSError):  # a folder that is gone or read-only needs no release
            if self._descriptor is None:
                if self.is_held():
                    self._path.unlink()
            else:
                os.ftruncate(self._descriptor, 0)
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # also what a child has not closed yet
        self._forget()

    def _take_flock(self, record: bytes) -> bool:
        """Whether the kernel gave the lock; False where the file system has none."""
        descriptor = os.open(
            self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            owner = Owner.read(self._path)
            if owner is not None and owner.is_earlier_start():
                self._path.unlink(
                    missing_ok=True
                )  # a file server keeps the lock of a node that crashed for minutes
                return self._take_flock(record)
            raise _held(
                self._folder, str(owner or "another process"), "wait for it or stop it"
            ) from None
        except OSError as error:
            os.close(descriptor)
            if error.errno in _NO_FLOCK:
                return False
            raise
        with suppress(OSError):  # a full disk: the lock holds, though it names nobody
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, record, 0)
        self._descriptor = descriptor
        return True

    def _take_file(self, record: bytes) -> None:
        """Make the file ours; the link appears with all its bytes, or not at all, also over NFS."""
        own = self._folder / f".lock.{socket.gethostname()}.{os.getpid()}"
        own.write_bytes(record)
        try:
            for _ in range(3):
                try:
                    os.link(own, self._path)
                    return
                except FileExistsError:
                    self._clear_stale()
        finally:
            own.unlink(missing_ok=True)
        raise _held(self._folder, "a process that began at the same moment", "try again")

    def _clear_stale(self) -> None:
        """Remove the file of an owner that has ended. Raises UserError for one that may live."""
        with suppress(FileNotFoundError):
            image = read_bytes(self._path, _MOST_BYTES)
            owner = Owner.read(self._path)
            ended = owner.has_ended() if owner else image.strip() == b""
            if not ended:
                raise _held(
                    self._folder,
                    str(owner or "an unknown process"),
                    "wait for it or stop it"
                    if ended is False
                    else f"this file system has no lock that would tell whether it lives; if it "
                    f"has ended, remove {self._path}",
                )
            aside = self._folder / f".stale.{socket.gethostname()}.{os.getpid()}"
            self._path.rename(aside)
            taken = aside.read_bytes()
            if taken != image:  # another took it over between the look and the rename
                os.link(aside, self._path)
            aside.unlink()

    def _after_fork(self) -> None:
        """In a child: leave the lock to the parent, so that no child that outlives it keeps the
        lock.
        """
        if not self.is_handed_down:
            self._forget()

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def wait_until_free(folder: Path, patience_s: float) -> None:
    """Wait until nobody holds the lock of a run directory, where the file system can tell, or until
    patience ends.
    """
    path, deadline = folder / "lock", time.monotonic() + patience_s
    if not path.exists():
        return
    with open(path, "rb") as file:
        while time.monotonic() < deadline:
            try:
                return fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                return


def _held(folder: Path, owner: str, way_out: str) -> UserError:
    return UserError(f"a run directory has one writer, and {folder} is held by {owner}; {way_out}")


def _machine() -> str:
    """This boot of this machine, and the process namespace that numbers are told apart in."""
    try:
        return (
            f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} "
            f"{os.readlink('/proc/self/ns/pid')}"
        )
    except OSError:
        return "unknown unknown"


def _start_of(pid: int) -> str:
    """When a process of this machine was started, in ticks since boot; empty if it has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if status[0] in (b"Z", b"X") else status[19].decode()


def _flock_is_local(folder: Path) -> bool:
    """Whether the folder is on a file system whose flock other nodes do not see."""
    try:
        device = os.stat(folder).st_dev
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    fields: list[list[str]] = [line.split(" ") for line in lines]
    mounted = [parts for parts in fields if parts[2] == f"{os.major(device)}:{os.minor(device)}"]
    return any(
        "localflock" in option.split(",") for parts in mounted for option in (parts[5], parts[-1])
    )
