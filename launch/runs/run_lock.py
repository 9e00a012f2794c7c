"""One writer per run directory: the file ``lock`` names it, and the kernel locks that file if the
file system has flock.

The kernel releases a lock when its process ends, for whatever reason. If there is no flock, or one
that other nodes do not see (Lustre mounted without ``flock`` or with ``localflock``), the file
itself is the lock. Whether its owner still runs then follows from the host, the process, the start
of the process and the Slurm job.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from esengine.errors import UserError
from esengine.launch.mpirun.slurm_allocation import Allocation
from esengine.storage.files import opened, parse_json, read_bytes

_NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
_MOST_BYTES = 4096


class Owner(NamedTuple):
    """The process that writes to a run directory.

    Attributes:
        host: name of its machine.
        pid: its number there.
        started: what distinguishes the process from others of its number: the boot, the process
            namespace, and the start in ticks.
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
        """This process as an owner."""
        started = f"{_machine()} {_start_of(os.getpid())}"
        allocation = Allocation.current()
        of_job = (None, 0) if allocation is None else (allocation.job, allocation.restarts)
        return cls(socket.gethostname(), os.getpid(), started, *of_job)

    @classmethod
    def read(cls, path: Path) -> Owner | None:
        """The owner that the file names, or None if it names none."""
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
        """Whether the process has ended, or None if this machine cannot know it."""
        machine, _, start = self.started.rpartition(" ")
        if self.host == socket.gethostname():
            if machine == _machine():
                return _start_of(self.pid) != start
            if machine.split(" ")[0] != _machine().split(" ")[0]:
                return True  # this machine has booted since
        return True if self.is_earlier_start() else None

    def is_earlier_start(self) -> bool:
        """Whether the process belongs to an earlier start of this Slurm job, which Slurm ends on
        all nodes before the next start.
        """
        allocation = Allocation.current()
        if allocation is None or self.job != allocation.job or self.host == socket.gethostname():
            return False
        return self.restarts < allocation.restarts

    def __str__(self) -> str:
        job = f" (job {self.job})" if self.job else ""
        return f"process {self.pid} on {self.host!r}{job}".replace("'", "")


class RunLock:
    """The lock of a run directory, which this process holds until `release`.

    Args:
        folder: the run directory.

    Raises:
        UserError: another running process is the writer, or the folder is not writable.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder.absolute() / "lock"
        self._descriptor: int | None = None
        self.is_handed_down = False
        """Whether forked copies of this process hold the lock, too."""

        self._record = json.dumps(Owner.this_process()._asdict()).encode()
        self._file = (0, 0)  # device and inode of the locked file
        try:
            if _flock_is_local(folder) or not self._take_flock(self._record):
                self._take_file(self._record)
        except OSError as error:
            raise UserError(
                f"a run directory must be writable, got {folder}: {error.strerror}; copy it "
                f"elsewhere"
            ) from error
        os.register_at_fork(after_in_child=self._after_fork)

    def is_held(self) -> bool:
        """Whether the file is still the one that was locked, and has no other owner."""
        try:
            found = os.stat(self._path)
        except OSError:
            return False
        if self._descriptor is None:
            return Owner.read(self._path) == Owner.this_process()
        if not self._is_open():
            return self._take_again()
        return (found.st_dev, found.st_ino) == self._file

    def _is_open(self) -> bool:
        """Whether the descriptor still is that of the lock. User code may close what it has not
        opened, and get the number for a file of its own.
        """
        try:
            mine = os.fstat(-1 if self._descriptor is None else self._descriptor)
        except OSError:
            return False
        return (mine.st_dev, mine.st_ino) == self._file

    def _take_again(self) -> bool:
        self._descriptor = None
        with suppress(OSError, UserError):
            return self._take_flock(self._record)
        return False

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor is not None and not self._is_open():
            self._descriptor = None
            return
        with suppress(OSError):  # a folder that is gone or read-only needs no release
            if self._descriptor is None:
                if self.is_held():
                    self._path.unlink()
            else:
                os.ftruncate(self._descriptor, 0)
        with suppress(OSError):  # closing it releases the lock as well
            if self._descriptor is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # also what a child has not closed yet
        self._forget()

    def _take_flock(self, record: bytes) -> bool:
        """Take the lock of the kernel; returns False if the file system has none."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        descriptor = os.open(self._path, flags, 0o644)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            os.close(descriptor)
            raise UserError(
                f"the lock of a run must be a file of at most {_MOST_BYTES} bytes, got another one "
                f"at {self._path}; move it away"
            )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            owner = Owner.read(self._path)
            if owner is not None and owner.is_earlier_start():
                # A file server keeps the lock of a node that crashed for minutes.
                self._path.unlink(missing_ok=True)
                return self._take_flock(record)
            raise _held(
                self._folder, str(owner or "another process"), "wait for it or stop it"
            ) from None
        except OSError as error:
            os.close(descriptor)
            if error.errno in _NO_FLOCK:
                return False
            raise
        if found.st_nlink > 1:  # it is also the file of another folder, such as a backup
            self._path.unlink(missing_ok=True)
            taken = self._take_flock(record)
            os.close(descriptor)
            return taken
        with suppress(OSError):  # with a full disk the lock holds, but names no owner
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, record, 0)
        self._descriptor = descriptor
        self._file = (found.st_dev, found.st_ino)
        return True

    def _take_file(self, record: bytes) -> None:
        """Take the file as the lock. The link appears whole or not at all, even on NFS."""
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
        """Remove the file of an owner that has ended. Raises UserError if it may still run."""
        with suppress(FileNotFoundError):
            image = self._image()
            owner = Owner.read(self._path)
            ended = owner.has_ended() if owner else image.strip() == b""
            if not ended:
                way_out = "wait for it or stop it"
                if ended is None:
                    way_out = (
                        f"this file system has no lock that shows whether it still runs; if it has "
                        f"ended, remove {self._path}"
                    )
                raise _held(self._folder, str(owner or "an unknown process"), way_out)

            aside = self._folder / f".stale.{socket.gethostname()}.{os.getpid()}"
            self._path.rename(aside)
            if read_bytes(aside, _MOST_BYTES) != image:  # another process took it since it was read
                os.link(aside, self._path)
            aside.unlink()

    def _image(self) -> bytes:
        """The bytes of the file. Raises UserError for a file that is no lock."""
        try:
            return read_bytes(self._path, _MOST_BYTES)
        except ValueError as error:
            raise UserError(
                f"the lock of a run must be a small file, but: {error}; move {self._path} away"
            ) from error

    def _after_fork(self) -> None:
        """In a forked child: leave the lock to the parent, which a child may outlive."""
        if not self.is_handed_down:
            self._forget()

    def _forget(self) -> None:
        if self._is_open():
            os.close(self._descriptor)  # type: ignore[arg-type]
        self._descriptor = None


def wait_until_free(folder: Path, patience_s: float) -> None:
    """Wait until no process holds the lock of a run directory, if the file system knows it, for at
    most ``patience_s`` seconds.
    """
    path = folder / "lock"
    deadline = time.monotonic() + patience_s
    if not path.exists():
        return

    with suppress(ValueError), opened(path) as file:
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
    """The boot of this machine and the namespace of its process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return "unknown unknown"


def _start_of(pid: int) -> str:
    """The start of a process of this machine in ticks since the boot; empty if it has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if status[0] in (b"Z", b"X") else status[19].decode()


def _flock_is_local(folder: Path) -> bool:
    """Whether other nodes do not see the flock of the file system that the folder is on."""
    try:
        device = os.stat(folder).st_dev
        mounts = [line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    except OSError:
        return False
    mounted = [parts for parts in mounts if parts[2] == f"{os.major(device)}:{os.minor(device)}"]
    return any(
        "localflock" in option.split(",") for parts in mounted for option in (parts[5], parts[-1])
    )
