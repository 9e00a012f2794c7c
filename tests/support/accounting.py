"""Slurm's accounting for a cluster of `tests.support.slurm`: a MariaDB of its own, and slurmdbd on
the login node.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

PACKAGES = "mariadb-server and slurmdbd"
PROGRAMS = ("mariadbd", "mariadb-install-db", "slurmdbd", "sacctmgr")
SETTINGS = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={address}
AccountingStoragePass={folder}/munge.socket
"""
"""Lines of ``slurm.conf``."""
_DAEMON = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={login}
DbdAddr={address}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounting
"""


def available() -> bool:
    """Whether the programs are here."""
    return all(shutil.which(program) is not None for program in PROGRAMS)


def database(folder: Path) -> list[str]:
    """Make an empty database below ``folder``; returns the command line of its server."""
    data, own = f"--datadir={folder}/database", "--user=root"
    make = [
        "mariadb-install-db",
        "--no-defaults",
        data,
        own,
        "--skip-test-db",
        "--auth-root-authentication-method=normal",
    ]
    subprocess.run(make, check=True, capture_output=True)
    small = ["--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0"]
    return [
        "mariadbd",
        "--no-defaults",
        data,
        own,
        "--skip-networking",
        f"--socket={socket(folder)}",
        *small,
    ]


def socket(folder: Path) -> Path:
    """What the server is reached by."""
    return folder / "database.socket"


def write_settings(folder: Path, login: str, address: str) -> None:
    """The daemon's own file, beside ``slurm.conf``."""
    path = folder / "slurmdbd.conf"
    path.write_text(_DAEMON.format(folder=folder, login=login, address=address))
    path.chmod(0o600)


def wait_for(ready: Path, text: str = "") -> None:
    """Wait until a file is there, and says ``text``."""
    deadline = time.monotonic() + 30
    while not (ready.exists() and (not text or text in ready.read_text())):
        assert time.monotonic() < deadline, ready
        time.sleep(0.02)
