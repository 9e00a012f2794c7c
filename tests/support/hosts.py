"""Several hosts on one machine: namespaces with names, networks and shared memory of their own, joined by a bridge.

The process ids stay common, so that mpirun's remote agent can enter a host. Needs root and iproute2. As a script it is
that agent: ``hosts.py [options] HOST COMMAND...``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = "ESENGINE_TEST_HOSTS"


class Hosts:
    """A few hosts that live until `close`.

    Args:
        folder: where process ids and the agent's link are kept.
        names: the hosts' names.
        subnet: first three numbers of their addresses.
    """

    def __init__(self, folder: Path, names: tuple[str, ...], subnet: str = "10.81.0") -> None:
        self.folder, self.names = folder, names
        self.switch = f"{names[0]}sw"
        self._sleepers: list[subprocess.Popen[bytes]] = []
        table = "127.0.0.1 localhost\n" + "".join(f"{subnet}.{i} {name}\n" for i, name in enumerate(names, 1))
        _ip("netns", "add", self.switch)
        _ip("-n", self.switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", self.switch, "link", "set", "br0", "up")
        for i, name in enumerate(names, 1):
            Path("/etc/netns", name).mkdir(parents=True)
            Path("/etc/netns", name, "hosts").write_text(table)
            _ip("netns", "add", name)
            _ip("-n", self.switch, "link", "add", f"v{i}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", self.switch, "link", "set", f"v{i}", "master", "br0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", f"{subnet}.{i}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            self._boot(name)

    def _boot(self, name: str) -> None:
        ready = self.folder / f"{name}.ready"
        script = f"hostname {name}; mount -t tmpfs -o size=2g tmpfs /dev/shm; touch '{ready}'; exec sleep infinity"
        command = ["ip", "netns", "exec", name, "unshare", "--uts", "--mount", "--ipc", "bash", "-c", script]
        sleeper = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        self._sleepers.append(sleeper)
        (self.folder / f"{name}.pid").write_text(str(sleeper.pid))
        while not ready.exists():
            assert sleeper.poll() is None
            time.sleep(0.01)

    def command_on(self, name: str, folder: Path, *command: str) -> list[str]:
        """A command line that runs ``command`` on a host, in ``folder``."""
        return [*_enter(self.folder, name, str(folder)), *command]

    def agent(self) -> Path:
        """An executable that mpirun can use in place of ssh."""
        path = self.folder / "agent.sh"
        path.write_text(f'#!/bin/sh\n{STATE}={self.folder} exec {sys.executable} {Path(__file__).resolve()} "$@"\n')
        path.chmod(0o755)
        return path

    def close(self) -> None:
        """End all processes of the hosts and remove what was made."""
        for name in self.names:
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout.split()
            for pid in pids:
                os.kill(int(pid), signal.SIGKILL)
            _ip("netns", "del", name)
            shutil.rmtree(Path("/etc/netns", name))
        _ip("netns", "del", self.switch)
        for sleeper in self._sleepers:
            sleeper.wait()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _enter(folder: Path, name: str, working: str) -> list[str]:
    pid = (folder / f"{name}.pid").read_text()
    return ["nsenter", "-t", pid, "-n", "-u", "-m", "-i", f"--wd={working}", "--"]


def main() -> None:
    """The agent: enter the host and run the command through its shell, as ssh does."""
    arguments = sys.argv[1:]
    while arguments[0].startswith("-"):
        arguments.pop(0)
    name, command = arguments[0], " ".join(arguments[1:])
    os.execvp("nsenter", [*_enter(Path(os.environ[STATE]), name, os.getcwd()), "bash", "-c", command])


if __name__ == "__main__":
    main()
