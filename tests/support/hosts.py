"""Several hosts on one machine: namespaces with names, networks and shared memory of their own,
joined by a bridge.

The process ids stay common, so that mpirun's remote agent can enter a host. Needs root and
iproute2.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.support.bridge import Bridge
from tests.support.words import words

_AGENT = """#!/bin/sh
# An agent for mpirun in place of ssh: [options] HOST COMMAND...
while case $1 in -*) ;; *) false ;; esac; do shift; done
host=$1; shift
exec nsenter -t $(cat 'FOLDER'/$host.pid) -n -u -m -i --wd="$PWD" -- bash -c "$*"
"""


class Hosts:
    """A few hosts that live until `close`.

    Args:
        folder: where process ids and the agent's link are kept.
        names: the hosts' names.
        subnet: first three numbers of their addresses.
    """

    def __init__(self, folder: Path, names: tuple[str, ...], subnet: str = "10.81.0") -> None:
        self.folder, self.names = folder, names
        self._sleepers: list[subprocess.Popen[bytes]] = []
        self._bridge = Bridge(
            f"{names[0]}sw", {name: f"{subnet}.{i}" for i, name in enumerate(names, 1)}
        )
        for name in names:
            self._boot(name)

    def _boot(self, name: str) -> None:
        ready = self.folder / f"{name}.ready"
        script = (
            f"hostname {name}; mount -t tmpfs -o size=2g tmpfs /dev/shm; touch '{ready}'; "
            f"exec sleep infinity"
        )
        command = [
            "ip",
            "netns",
            "exec",
            name,
            *words("unshare --uts --mount --ipc bash -c"),
            script,
        ]
        sleeper = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        self._sleepers.append(sleeper)
        (self.folder / f"{name}.pid").write_text(str(sleeper.pid))
        while not ready.exists():
            assert sleeper.poll() is None
            time.sleep(0.01)

    def command_on(self, name: str, folder: Path, *command: str) -> list[str]:
        """A command line that runs ``command`` on a host, in ``folder``."""
        pid = (self.folder / f"{name}.pid").read_text()
        return ["nsenter", "-t", pid, "-n", "-u", "-m", "-i", f"--wd={folder}", "--", *command]

    def agent(self) -> Path:
        """An executable that mpirun can use in place of ssh."""
        path = self.folder / "agent.sh"
        path.write_text(_AGENT.replace("FOLDER", str(self.folder)))
        path.chmod(0o755)
        return path

    def close(self) -> None:
        """End all processes of the hosts and remove what was made."""
        self._bridge.close()
        for sleeper in self._sleepers:
            sleeper.wait()
