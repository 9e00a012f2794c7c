"""Births on other hosts than the master's.

The master starts no process there. The guard of a worker that died does it: it leaves a successor,
which starts the replacement, kills it if it does not serve in time, and tries again. The
replacement reaches the master over TCP, and shows the launch's key.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import secrets
import select
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from typing import Any, Final

from esengine.ranks.launch_variables import (
    FOLDER_VARIABLE,
    LINK_VARIABLE,
    REPLACEMENT_VARIABLE,
    leave_environment,
    variable,
)
from esengine.ranks.links import Link, LinkClosed

DIED: Final = 1
"""How much a birth counts that ended in a death, which costs little time."""
HUNG: Final = 2
"""How much one counts that took too long."""
MOST_FAILURES: Final = 5
"""What failed births in a row may add up to, before a worker is not replaced any more."""
_CONNECT_S = 5.0
_GET_ADDRESS = 0x8915  # SIOCGIFADDR
_HELLO_TAG = 0


class Door:
    """Where replacements on other hosts reach the master."""

    def __init__(self) -> None:
        self._key = secrets.token_hex(16)
        self._listener = socket.create_server(("", 0), backlog=128)
        self._listener.setblocking(False)
        self._visitors: list[Link] = []  # those that have not shown the key yet

    def way_in(self) -> dict[str, Any]:
        """What a replacement has to know."""
        port = self._listener.getsockname()[1]
        return {"key": self._key, "port": port, "addresses": _own_addresses()}

    def arrivals(self) -> list[tuple[int, Link]]:
        """The new connections, each with the rank of the worker that it replaces."""
        with suppress(BlockingIOError):
            while True:
                self._visitors.append(Link(self._listener.accept()[0]))

        found = []
        for visitor in list(self._visitors):
            try:
                message = visitor.receive()
            except LinkClosed:
                self._visitors.remove(visitor)
                visitor.close()
                continue
            if message is None:
                continue

            self._visitors.remove(visitor)
            key, _, rank = bytes(message[1]).partition(b" ")
            if hmac.compare_digest(key, self._key.encode()) and rank.isdigit():
                found.append((int(rank), visitor))
            else:
                visitor.close()
        return found


def supervise(order: dict[str, Any], rank: int) -> None:
    """Start replacements of a worker until the run has ended, or too many do not serve.

    This runs in the successor of a guard.

    Args:
        order: a `Door.way_in` and ``time_s``, in which a replacement must serve.
        rank: the worker that died.
    """
    folder = variable(FOLDER_VARIABLE)
    leave_environment()
    failures = 0
    while failures < MOST_FAILURES:
        served, theirs = os.pipe()
        link = json.dumps({**order, "rank": rank, "served": theirs})
        environment = {**os.environ, REPLACEMENT_VARIABLE: str(rank), LINK_VARIABLE: link}
        if folder is not None:
            environment[FOLDER_VARIABLE] = folder
        process = subprocess.Popen(
            [sys.executable or sys.orig_argv[0], *sys.orig_argv[1:]],
            env=environment,
            pass_fds=[theirs],
            process_group=0,
        )
        os.close(theirs)
        readable, _, _ = select.select([served], [], [], order["time_s"])
        has_served = bool(readable) and os.read(served, 1) == b"1"
        if not readable:
            process.kill()
        os.close(served)
        if process.wait() == 0:
            return  # the run has ended
        failures = 0 if has_served else failures + (DIED if readable else HUNG)


def connect(order: dict[str, Any]) -> Link:
    """In a replacement: the link with the master. Ends the process if the master has ended."""
    for address in order["addresses"]:
        with suppress(OSError):
            connection = socket.create_connection((address, order["port"]), _CONNECT_S)
            link = Link(connection)
            link.send(f"{order['key']} {order['rank']}".encode(), _HELLO_TAG)
            return link
    os._exit(0)


def _own_addresses() -> list[str]:
    """The IPv4 addresses of this host, and its name."""
    addresses = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with suppress(OSError):
                answer = fcntl.ioctl(probe.fileno(), _GET_ADDRESS, request)
                addresses.append(socket.inet_ntoa(answer[20:24]))
    return [*(address for address in addresses if address != "127.0.0.1"), socket.gethostname()]
