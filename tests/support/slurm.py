"""A real Slurm cluster on one machine: a login node with the controller, and compute nodes that can
be crashed and booted.

Every node has its own network, name, process ids, ``/dev/shm`` and ``/tmp``; all else is shared,
like a cluster's file system. Needs root and a few packages of Debian's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.support import accounting
from tests.support.bridge import Bridge
from tests.support.words import words

PACKAGES = "slurm-wlm, munge, libpmix-dev and iproute2"
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "ip", "nsenter", "unshare")
KILL_WAIT_S = 10
_CONFIGURATION = """
ClusterName={name}
SlurmctldHost={login}({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdParameters=config_overrides
SlurmctldTimeout=10
SlurmdTimeout={slurmd_timeout_s}
KillWait={kill_wait_s}
MinJobAge=3600
CompleteWait=0
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL Default=NO MaxTime=INFINITE State=UP PriorityTier=9
"""
_NODE = (
    "NodeName={name} NodeAddr={address} CPUs={cores} Sockets=1 CoresPerSocket={cores} "
    "ThreadsPerCore=1 RealMemory=4000"
)
_BOOT = """
hostname {name}
[ -z "{compute}" ] && exec sleep infinity
mount -t tmpfs -o size=2g tmpfs /dev/shm
{share}
slurmd -D &
while :; do sleep infinity & wait -n; done
"""


def missing() -> str | None:
    """Why no cluster can be had here, or None."""
    if os.geteuid() != 0:
        return "a cluster of namespaces needs root"
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    if not any(Path("/usr/lib").glob("*/pmix2/lib/libpmix.so")):  # the name that srun loads
        lacking.append("libpmix.so")
    return (
        f"a cluster needs Debian's {PACKAGES}; there is no {', '.join(lacking)}"
        if lacking
        else None
    )


class SlurmCluster:
    """A login node and a few compute nodes, up until `close`.

    Args:
        folder: holds state and logs; every node sees it.
        num_nodes: compute nodes.
        cores: of each compute node, as Slurm counts them.
        slurmd_timeout_s: seconds after which a silent node is down.
        accounted: whether it keeps accounting, which needs a database.
    """

    def __init__(
        self,
        folder: Path,
        num_nodes: int = 2,
        cores: int = 4,
        slurmd_timeout_s: int = 10,
        accounted: bool = False,
    ) -> None:
        self.folder, self.accounted = folder, accounted
        name = f"es{os.getpid()}"
        self.login = f"{name}l"
        self.nodes = [f"{name}n{number}" for number in range(1, num_nodes + 1)]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        addresses = {node: f"10.83.0.{10 + number}" for number, node in enumerate(self.nodes, 1)}
        nodes = [
            _NODE.format(name=node, address=address, cores=cores)
            for node, address in addresses.items()
        ]
        text = _CONFIGURATION.format(
            name=name,
            login=self.login,
            address="10.83.0.1",
            folder=folder,
            slurmd_timeout_s=slurmd_timeout_s,
            kill_wait_s=KILL_WAIT_S,
            nodes="\n".join(nodes),
        )
        if accounted:
            text += accounting.SETTINGS.format(folder=folder, address="10.83.0.1")
            accounting.write_settings(folder, self.login, "10.83.0.1")
        (folder / "slurm.conf").write_text(text)
        (folder / "mpi.conf").write_text("PMIxCliTmpDirBase=/dev/shm\n")  # private to each node
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        self._bridge = Bridge(self.login, addresses, "10.83.0.1")
        try:
            self._start_munge()
            self._start_node(self.login)
            if accounted:
                self._start_accounting()
            self._start_controller()
            for node in self.nodes:
                self._start_node(node)
            self.wait_for_nodes()
        except BaseException:
            self.close()
            raise

    def on(self, host: str, folder: Path, *command: str) -> list[str]:
        """A command line that runs ``command`` on a host, in ``folder``."""
        inside = "-p" if host in self.nodes else "-n"
        return [
            "nsenter",
            "-t",
            self._first_process(host),
            *words("-n -u -m -i"),
            inside,
            f"--wd={folder}",
            "--",
            *command,
        ]

    def run(
        self, *command: str, folder: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the login node, as a user would."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OMPI_", "PMI", "SLURM", "ESENGINE"))
        }
        environment |= {"SLURM_CONF": str(self.folder / "slurm.conf"), "COLUMNS": "200"}
        environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            self.on(self.login, folder or self.folder, *command),
            env=environment | variables,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )

    def output(self, *command: str) -> str:
        """What a command on the login node prints, which must succeed."""
        result = self.run(*command)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def states(self, job: str) -> list[tuple[str, str]]:
        """State and reason of a job or of each task of an array, ended ones included."""
        listing = self.output(
            "squeue", "--noheader", "--states=all", "--Format=State:24,Reason:64", f"--jobs={job}"
        )
        return [(line[:24].strip(), line[24:].strip()) for line in listing.splitlines()]

    def crash(self, node: str) -> None:
        """End a compute node and all of its processes at once, without a word to anybody."""
        os.kill(int(self._first_process(node)), signal.SIGKILL)
        self._processes.pop(node).wait()
        self._bridge.leave(node)

    def boot(self, node: str) -> None:
        """Bring a crashed node back."""
        self._bridge.join(node)
        self._start_node(node)

    def boot_crashed(self) -> None:
        """Bring back every node that is down."""
        for node in self.nodes:
            if node not in self._processes:
                self.boot(node)

    def wait_for_nodes(self) -> None:
        """Wait until every node is idle."""
        deadline = time.monotonic() + 30
        while True:
            found = self.run(
                "sinfo", "--noheader", "--Node", "--partition=main", "--format=%T"
            ).stdout.split()
            if found == ["idle"] * len(self.nodes):
                return
            assert time.monotonic() < deadline, (
                found,
                (self.folder / "slurmctld.log").read_text()[-2000:],
            )
            time.sleep(0.05)

    def forget_jobs(self, *jobs: str) -> None:
        """Make the queue forget all jobs, as it does by itself some minutes after they ended.

        Args:
            jobs: completed ones, of which the accounting must know first, if there is any.
        """
        for job in jobs if self.accounted else ():
            self._wait_for_accounting(job)
        controller = self._processes.pop("slurmctld")
        controller.kill()
        controller.wait()
        self._start_controller()
        self.wait_for_nodes()

    def _wait_for_accounting(self, job: str) -> None:
        """Wait until the accounting has the end of a job and of all its tasks."""
        deadline = time.monotonic() + 120
        query = ("sacct", "--noheader", "--allocations", "--parsable2", "--format=State")
        while set(self.output(*query, f"--jobs={job}").split()) != {"COMPLETED"}:
            assert time.monotonic() < deadline, f"the accounting knows nothing of job {job}"
            time.sleep(0.2)

    def close(self) -> None:
        """End everything and remove the hosts."""
        for name in [name for name in (*self.nodes, self.login) if name in self._processes]:
            with contextlib.suppress(AssertionError, ProcessLookupError):
                os.kill(int(self._first_process(name)), signal.SIGKILL)
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._bridge.close()

    def _start_munge(self) -> None:
        for name in ("key", "seed"):
            (self.folder / f"munge.{name}").write_bytes(os.urandom(1024))
            (self.folder / f"munge.{name}").chmod(0o400)
        self.folder.chmod(0o711)
        files = {
            "key-file": "key",
            "socket": "socket",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        options = [f"--{option}={self.folder}/munge.{suffix}" for option, suffix in files.items()]
        self._start("munged", "munged", "--foreground", "--force", *options)
        deadline = time.monotonic() + 10
        while not (self.folder / "munge.socket").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def _start_accounting(self) -> None:
        self._start("mariadbd", *accounting.database(self.folder))
        accounting.wait_for(accounting.socket(self.folder))
        self._start("slurmdbd", *self.on(self.login, self.folder, "slurmdbd", "-D"))
        accounting.wait_for(self.folder / "slurmdbd.log", "slurmdbd version")
        self.output("sacctmgr", "--immediate", "add", "cluster", self.login.removesuffix("l"))

    def _start_controller(self) -> None:
        self._start("slurmctld", *self.on(self.login, self.folder, "slurmctld", "-D", "-c"))

    def _start_node(self, name: str) -> None:
        compute = name in self.nodes
        private = ["--pid", "--fork", "--kill-child", "--mount-proc"] if compute else []
        script = _BOOT.format(
            name=name, compute="1" if compute else "", share=self._share(name) if compute else ""
        )
        self._start(
            name,
            "ip",
            "netns",
            "exec",
            name,
            *words("unshare --uts --mount --ipc"),
            *private,
            "bash",
            "-c",
            script,
        )

    def _share(self, node: str) -> str:
        """Shell lines that give a node a ``/tmp`` of its own, in which only what all nodes must see
        is shared.

        Process ids repeat on the nodes, and Open MPI names its folders in ``/tmp`` by them.
        """
        own = self.folder / f"tmp.{node}"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        lines = []
        for path in (self.folder.parent, REPOSITORY):
            if path.is_relative_to("/tmp"):
                inside = own / path.relative_to("/tmp")
                lines.append(f"mkdir -p '{inside}'; mount --rbind '{path}' '{inside}'")
        return "\n".join([*lines, f"chmod 1777 '{own}'; mount --rbind '{own}' /tmp"])

    def _start(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as output:
            own = {
                "SLURM_CONF": self.folder / "slurm.conf",
                "MYSQL_UNIX_PORT": accounting.socket(self.folder),
            }
            inherited = {
                key: value for key, value in os.environ.items() if not key.startswith("ESENGINE")
            }
            environment = inherited | {key: str(value) for key, value in own.items()}
            self._processes[name] = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _first_process(self, host: str) -> str:
        """Process id of a host's first process, which holds its namespaces."""
        process = self._processes[host]
        if host == self.login:
            self._wait_for_name(process.pid)
            return str(process.pid)
        deadline = time.monotonic() + 10
        while True:  # unshare's child
            assert process.poll() is None
            assert time.monotonic() < deadline
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if children:
                return children[0]
            time.sleep(0.01)

    def _wait_for_name(self, pid: int) -> None:
        """Until the login node has its namespaces and its name: its first process is then a
        sleep.
        """
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}/comm").read_text().strip() != "sleep":
            assert time.monotonic() < deadline
            time.sleep(0.01)
