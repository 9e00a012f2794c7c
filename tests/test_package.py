"""The package as it is shipped: one top-level name, and it works from a wheel and from an sdist,
outside the checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.support.compiled import lend_kernels
from tests.support.words import words


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel and an sdist of the files that git tracks or would."""
    folder = tmp_path_factory.mktemp("distributions")
    source = folder / "source"
    source.mkdir()
    listing = [
        "git",
        "-C",
        str(REPOSITORY),
        *words("ls-files --cached --others --exclude-standard -z"),
    ]
    if not (REPOSITORY / ".git").exists():
        pytest.skip("needs a git checkout")
    names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        origin = REPOSITORY / name
        if origin.is_symlink():
            target.symlink_to(origin.readlink())
        elif origin.exists():
            target.write_bytes(origin.read_bytes())
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


def test_a_wheel_has_one_top_level_name(distributions: dict[str, Path]) -> None:
    names = zipfile.ZipFile(distributions["wheel"]).namelist()
    assert {name.split("/")[0] for name in names} == {"esengine", "esengine_mpi-0.1.0.dist-info"}
    for module in ("ranks/world.py", "algorithms/evolution/cma_es.py", "launch/cli.py", "py.typed"):
        assert f"esengine/{module}" in names


def test_files_of_a_namesake_are_refused(tmp_path: Path) -> None:
    (tmp_path / "esengine").mkdir()
    (tmp_path / "esengine-0.3.2.dist-info").mkdir()
    ours = (REPOSITORY / "esengine" / "__init__.py").read_text()
    (tmp_path / "esengine" / "__init__.py").write_text(ours)

    command = [sys.executable, "-P", "-c", "import esengine"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert "got esengine-0.3.2.dist-info beside it" in result.stderr.splitlines()[-1]


def test_an_sdist_holds_the_sources_and_the_tests(distributions: dict[str, Path]) -> None:
    with tarfile.open(distributions["sdist"]) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    for name in (
        "setup.py",
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "constraints.txt",
        "tests/conftest.py",
        "examples/ellipsoid.py",
    ):
        assert name in names
    assert {"algorithms/evolution/cma_es.py", "launch/cli.py"} <= names


def install(distribution: Path, folder: Path) -> None:
    options = (*words("--quiet --no-deps --no-build-isolation --no-compile --target"), str(folder))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, distribution],
        check=True,
        capture_output=True,
    )


def test_an_sdist_installs_what_the_wheel_does(
    distributions: dict[str, Path], tmp_path: Path
) -> None:
    found = []
    for kind, distribution in distributions.items():
        install(distribution, tmp_path / kind)
        package = tmp_path / kind / "esengine"
        found.append(
            {
                path.relative_to(package): path.read_bytes()
                for path in package.rglob("*")
                if path.is_file()
            }
        )
    assert found[0] == found[1] != {}


def test_it_works_in_another_environment_outside_the_checkout(
    distributions: dict[str, Path], tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    packages = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    install(distributions["wheel"], packages)
    lend_kernels(packages / "esengine")
    (packages / "dependencies.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("site-packages"))
    )
    where = "import esengine, esengine.launch.cli as cli; print(esengine.__file__, cli.__file__)"
    found = subprocess.run(
        [python, "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert found.split() == [
        str(packages / "esengine" / "__init__.py"),
        str(packages / "esengine" / "launch" / "cli.py"),
    ]
    train = [*words("train cma-es --env-id CartPole-v1 --generations 1 --ranks 1 --run-dir run")]
    result = subprocess.run(
        [python, "-m", "esengine", *train],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "done.json").exists()
