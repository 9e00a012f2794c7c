"""Environments with another MPI each, made from package registries beside this one, whose other
packages they use.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_DEBIAN = "lib/x86_64-linux-gnu"


@dataclass(frozen=True)
class Environment:
    """An interpreter with an MPI.

    Attributes:
        python: the interpreter.
        mpirun: the MPI's launcher with its options, before the number of ranks.
        variables: that both need.
    """

    python: Path
    mpirun: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)

    def library(self) -> str:
        """The first words of the MPI's own name."""
        code = "from mpi4py import MPI; print(MPI.Get_library_version())"
        environment = {**os.environ, **self.variables}
        found = subprocess.run(
            [self.python, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        return " ".join(found.stdout.split("\n")[0].split(",")[0].split())


def _own(_: Path) -> Environment:
    scripts = Path(sysconfig.get_path("scripts"))
    options = ("--bind-to", "none", "--map-by", ":OVERSUBSCRIBE", "--allow-run-as-root")
    return Environment(Path(sys.executable), (str(scripts / "mpirun"), *options))


def _of_pip(*packages: str) -> Callable[[Path], Environment]:
    def make(folder: Path) -> Environment:
        python = _interpreter(folder)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        return Environment(python, (str(python.parent / "mpiexec"),), {"PATH": path})

    return make


def _of_debian(folder: Path) -> Environment:
    """Packages that are unpacked and not installed, so that this machine stays as it is."""
    python = _interpreter(folder)
    root, archives = folder / "root", folder / "archives"
    if not root.exists():
        (archives / "partial").mkdir(parents=True)
        subprocess.run(
            [
                *("apt-get", "install", "--yes", "--quiet", "--quiet", "--download-only"),
                *("--no-install-recommends", "-o", f"Dir::Cache::archives={archives}"),
                *("openmpi-bin", "openmpi-common"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for package in archives.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
    libraries = root / "usr" / _DEBIAN
    (python.parent / "mpirun").unlink(missing_ok=True)
    (python.parent / "mpirun").symlink_to(root / "usr/bin/mpirun.openmpi")
    variables = {
        "PATH": os.pathsep.join([str(python.parent), str(root / "usr/bin"), os.environ["PATH"]]),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, (libraries, root / _DEBIAN))),
        "OPAL_PREFIX": str(root / "usr"),
        "OPAL_LIBDIR": str(libraries / "openmpi/lib"),
        "OMPI_MCA_mca_base_component_show_load_errors": "0",  # networks that are not here
    }
    options = ("--oversubscribe", "--bind-to", "none", "--allow-run-as-root")
    return Environment(python, (str(python.parent / "mpirun"), *options), variables)


def _interpreter(folder: Path) -> Path:
    """An interpreter that finds this environment's packages after its own."""
    if not (folder / "bin").exists():
        venv.create(folder, with_pip=True)
        here = sysconfig.get_path("purelib")
        own = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
        (own / "beside.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return folder / "bin" / "python"


ENVIRONMENTS: dict[str, Callable[[Path], Environment]] = {
    "Open MPI 5 (pip)": _own,
    "Open MPI 4 (Debian)": _of_debian,
    "MPICH (pip)": _of_pip("mpich"),
    "Intel MPI (pip)": _of_pip("impi-rt"),
}
"""Makes each in a folder; what is made already stays."""
