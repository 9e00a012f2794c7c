"""A caller from Python whose run is carried out by local ranks: it hands them Python objects, gets
each row of metrics in time for its callbacks, and the message of an error.

Both ends stand here: `Caller` in the process that starts the ranks, the functions in the ranks.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from esengine.errors import CallbackRaised
from esengine.ranks.launch_variables import FOLDER_VARIABLE, variable

Callback = Callable[[dict[str, Any]], object]

_ROWS = "rows"  # the socket
_OBJECTS = "objects"
_MESSAGE = "message"
_GO_ON, _END, _RAISE = b"g", b"e", b"r"


class Caller:
    """The end of the process that starts ranks.

    Args:
        callbacks: called here with each row, while the ranks wait; True ends the run in order.
        objects: what `user_code.pack_objects` returned.

    Attributes:
        error: what a callback raised, or None.
        message: what the master reported in place of printing it, or None.
    """

    def __init__(self, callbacks: Sequence[Callback] = (), objects: bytes = b"") -> None:
        self._callbacks = callbacks
        self._objects = objects
        self._folder = Path()
        self._listener: socket.socket | None = None
        self._master: socket.socket | None = None
        self._line = b""
        self.error: BaseException | None = None
        self.message: str | None = None

    def open(self, folder: Path) -> None:
        """Wait for the ranks of a launch.

        Args:
            folder: of the launch.
        """
        self._folder = folder
        (folder / _MESSAGE).touch()
        if self._objects:
            (folder / _OBJECTS).write_bytes(self._objects)
        if self._callbacks:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(folder / _ROWS))
            self._listener.listen()

    def wait(self, seconds: float) -> None:
        """Answer the rows that come within a time."""
        if self._listener is None:
            time.sleep(seconds)
            return
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            sockets = [each for each in (self._listener, self._master) if each is not None]
            ready, _, _ = select.select(sockets, [], [], left)
            if self._listener in ready:
                self._master = self._listener.accept()[0]  # the newest, after a new start
            elif self._master is not None and ready:
                self._take(self._master)

    def close(self) -> None:
        """Answer no more, and read the message; a master that waits goes on."""
        for each in (self._listener, self._master):
            if each is not None:
                each.close()
        self._listener = self._master = None

    def read_message(self) -> None:
        """Read what the master reported, once the ranks have ended."""
        with suppress(OSError):
            self.message = (self._folder / _MESSAGE).read_text() or None

    def _take(self, master: socket.socket) -> None:
        part = master.recv(1 << 20)
        if not part:
            master.close()
            self._master = None
            return
        self._line += part
        if not self._line.endswith(b"\n"):
            return
        row = json.loads(self._line)
        self._line = b""

        answer = _GO_ON
        try:
            if any([callback(row) is True for callback in self._callbacks]):
                answer = _END
        except BaseException as error:
            self.error = error
            answer = _RAISE
        with suppress(OSError):
            master.sendall(answer)


class RemoteCallbacks:
    """The callbacks of the caller, for the master."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))

    def __call__(self, row: dict[str, Any]) -> bool:
        """Send a row, and wait for the answer: whether the run ends. Raises CallbackRaised."""
        answer = b""
        with suppress(OSError):  # the caller has ended, and stops the run
            self._socket.sendall(json.dumps(row).encode() + b"\n")
            answer = self._socket.recv(1)
        if answer == _RAISE:
            raise CallbackRaised(RuntimeError("see the caller"))
        return answer == _END


CallerOf = Callable[[Sequence[str]], Caller | None]
"""Makes a caller that hands over the Python objects among some names."""


def no_caller(names: Sequence[str]) -> None:
    """A command has no caller from Python."""


def remote_callbacks() -> tuple[Callback, ...]:
    """The callbacks of the caller of this launch, if it has any."""
    path = _folder()
    if path is None or not (path / _ROWS).is_socket():
        return ()
    return (RemoteCallbacks(path / _ROWS),)


def adopt_objects_of_caller() -> None:
    """Take the Python objects that the caller of this launch gave."""
    path = _folder()
    if path is not None and (path / _OBJECTS).exists():
        from esengine.user_code import adopt_objects  # slow to import, for every command

        adopt_objects((path / _OBJECTS).read_bytes())


def leave_message(message: str) -> bool:
    """Leave the caller a message; False if nobody reads it."""
    path = _folder()
    if path is None or not (path / _MESSAGE).exists():
        return False
    (path / _MESSAGE).write_text(message)
    return True


def _folder() -> Path | None:
    """The folder of our launcher, in which both ends meet."""
    found = variable(FOLDER_VARIABLE)
    return None if found is None else Path(found)
