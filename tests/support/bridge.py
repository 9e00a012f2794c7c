"""A private network: hosts are network namespaces, joined by a bridge that stands in one of
them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.support.words import words


class Bridge:
    """The network and its hosts, whose names resolve inside it. Needs root and iproute2.

    Args:
        switch: name of the namespace that holds the bridge.
        addresses: of the hosts by name; all hosts know all names.
        address: of the switch itself, where it is a host as well.
    """

    def __init__(self, switch: str, addresses: dict[str, str], address: str | None = None) -> None:
        self.switch, self._addresses = switch, dict(addresses)
        known = addresses if address is None else {switch: address, **addresses}
        self._table = "127.0.0.1 localhost\n" + "".join(
            f"{number} {name}\n" for name, number in known.items()
        )
        self._add_namespace(switch)
        _ip("-n", switch, "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        if address is not None:
            _ip("-n", switch, "addr", "add", f"{address}/24", "dev", "br0")
        _ip("-n", switch, "link", "set", "br0", "up")
        for name in addresses:
            self.join(name)

    def join(self, name: str) -> None:
        """Make a host and plug it in, once more after `leave`."""
        port = f"v{list(self._addresses).index(name)}"
        self._add_namespace(name)
        _ip("-n", self.switch, "link", "add", port, *words("type veth peer name eth0 netns"), name)
        _ip("-n", self.switch, "link", "set", port, "master", "br0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "addr", "add", f"{self._addresses[name]}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")

    def leave(self, name: str) -> None:
        """Kill all processes of a host and remove it."""
        _kill(name)
        with contextlib.suppress(
            subprocess.CalledProcessError
        ):  # the port goes with the host, at once or a little later
            _ip("-n", self.switch, "link", "del", f"v{list(self._addresses).index(name)}")
        _remove(name)

    def close(self) -> None:
        """Remove all hosts and the bridge."""
        for name in self._addresses:
            if Path("/etc/netns", name).exists():
                self.leave(name)
        _remove(self.switch)

    def _add_namespace(self, name: str) -> None:
        if Path("/etc/netns", name).exists():  # a session that was killed left it
            _remove(name)
        Path("/etc/netns", name).mkdir(parents=True)
        Path("/etc/netns", name, "hosts").write_text(
            self._table
        )  # what ip netns exec shows as /etc/hosts
        _ip("netns", "add", name)


def _kill(name: str) -> None:
    """Kill all processes of a namespace."""
    for pid in subprocess.run(
        ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
    ).stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def _remove(name: str) -> None:
    _kill(name)
    subprocess.run(
        ["ip", "netns", "del", name], check=False, capture_output=True
    )  # it may be half made
    shutil.rmtree(Path("/etc/netns", name))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
