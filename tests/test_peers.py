"""The comparison with other packages measures what it says, and goes on when a package fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers.cases import (
    CMA_MEMORY,
    OURS,
    PEERS,
    Case,
    Program,
    all_cases,
    chosen,
    package,
)
from benchmarks.peers.environments import HERE, Environments, PeerError, figure_of, shown
from benchmarks.peers.policies import SIZES, flat, policies
from benchmarks.peers.report import OUR_SIDE, Row, Run, measure_case, render
from esengine.policies.forward_pass import forward_reference
from esengine.policies.layers import dense_layers

FAST, SLOW, BROKEN = (Program(OURS, name, ()) for name in ("fast", "slow", "broken"))


def case(higher_is_better: bool = True, **peers: Program) -> Case:
    return Case("Dispatch", "nothing, often", "tasks / s", higher_is_better, FAST, peers)


def measure(program: Program) -> dict[str, Any]:
    if program is BROKEN:
        raise PeerError("ImportError: no module named broken")
    return {
        "value": 20_000.0 if program is FAST else 5.0,
        "versions": {program.module: "1.0"},
        "threads": "1 thread",
    }


def page(rows: list[Row]) -> str:
    return render(
        rows,
        Run("python benchmarks/peers/run.py --repeats 3", "2030-01-02", 3, (0.5, 1.5)),
        {"cores": "2"},
    )


def test_sides_are_measured_in_turns() -> None:
    order = []

    def record(program: Program) -> dict[str, Any]:
        order.append(program.module)
        return measure(program)

    measure_case(case(slow=SLOW), 2, record)
    assert order == ["fast", "slow", "fast", "slow"]


def test_a_peer_that_fails_is_a_row_that_says_why_and_the_others_are_measured() -> None:
    rows = measure_case(case(broken=BROKEN, slow=SLOW), 3, measure)
    assert [len(row.figures) for row in rows] == [3, 0, 3]
    lines = page(rows).splitlines()
    reason = "not measured: ImportError: no module named broken"
    assert (
        f"| nothing, often | tasks / s | broken | {reason} | 20,000 (20,000 to 20,000) | - |"
        in lines
    )
    assert (
        "| nothing, often | tasks / s | slow | 5 (5 to 5) | 20,000 (20,000 to 20,000) | 4,000 |"
        in lines
    )


def test_the_page_tells_machine_command_date_versions_and_threads() -> None:
    text = page(measure_case(case(slow=SLOW), 1, measure))
    for part in (
        "- cores: 2",
        "`python benchmarks/peers/run.py --repeats 3`",
        "2030-01-02",
        "fast 1.0, slow 1.0",
        "esengine, slow: 1 thread",
    ):
        assert part in text


def test_a_speed_above_one_is_a_win_whatever_the_unit() -> None:
    assert "| slow | 5 (5 to 5) | 20,000 (20,000 to 20,000) | 0.00025 |" in page(
        measure_case(case(False, slow=SLOW), 1, measure)
    )


def test_ours_and_multiprocessing_are_measured() -> None:
    ours = Program(OURS, "ours_dispatch", ("64",), ranks=3)
    theirs = Program(OURS, "executors", ("multiprocessing", "64", "1"))
    tiny = Case("Dispatch", "64 tasks", "tasks / s", True, ours, {"multiprocessing": theirs})
    rows = measure_case(tiny, 1, Environments().measure)
    assert [row.failure for row in rows] == [None, None]
    assert all(row.values[0] > 0 for row in rows)


def test_ours_and_pycma_are_measured() -> None:
    arguments = ("5", "8", "3")
    ours = Program(OURS, "ours_cma", arguments, memory_bytes=CMA_MEMORY)
    theirs = Program(OURS, "cma_packages", ("cma", *arguments), memory_bytes=CMA_MEMORY)
    rows = measure_case(
        Case("CMA-ES", "tiny", "ms", False, ours, {"cma": theirs}), 1, Environments().measure
    )
    assert [row.failure for row in rows] == [None, None]
    assert all(row.values[0] > 0 for row in rows)


def test_a_package_that_cannot_be_installed_is_told_once_for_all_its_rows(tmp_path: Path) -> None:
    (tmp_path / "absent.txt").write_text("--no-index\nabsent-package==1.0\n")
    environments = Environments(tmp_path / "envs", tmp_path)
    for _ in range(2):
        with pytest.raises(
            PeerError,
            match="cannot be installed: ERROR: No matching distribution found for absent-package",
        ):
            environments.measure(Program("absent", "executors", ()))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("print('hello')", "printed no figure"),
        ("import sys; sys.exit(3)", "exit status 3"),
        ("import threading; threading.Event().wait()", "took more than 0.5 s"),
    ],
)
def test_a_program_that_gives_no_figure_says_why(source: str, reason: str) -> None:
    with pytest.raises(PeerError, match=reason):
        figure_of([sys.executable, "-c", source], timeout_s=0.5 if "wait" in source else 60)


def test_a_reason_names_no_path_and_no_address() -> None:
    text = "Traceback\nOSError: [Errno 2] No file: '/home/someone/lib/x.so' from https://index.example/simple\n\x1b[31m--\x1b[0m\n"
    assert shown(text) == "OSError: [Errno 2] No file: 'x.so' from (address)"


def test_every_environment_has_pinned_requirements_and_every_package_a_side() -> None:
    programs = [program for each in all_cases() for program in each.peers.values()]
    for name in {program.environment for program in programs} - {OURS}:
        lines = (HERE / "requirements" / f"{name}.txt").read_text().splitlines()
        assert all("==" in line for line in lines if not line.startswith("#"))
    assert {package(peer) for each in all_cases() for peer in each.peers} == set(PEERS)
    assert [list(each.peers) for each in chosen(all_cases(), ["cmaes"])] == [["cmaes"]] * 5


def test_balancing_policies_prefer_the_push_that_holds_the_pole() -> None:
    rows = flat(policies("CartPole-v1", "balancing", 4))
    layers = dense_layers(SIZES["CartPole-v1"])
    falling_right = np.array([0, 0, 0.1, 0.1], np.float32)
    for row in rows:
        for sign, best in ((1, 1), (-1, 0)):
            outputs = forward_reference(
                row, layers, sign * falling_right, np.zeros(4, np.float32), np.ones(4, np.float32)
            )
            assert np.argmax(outputs) == best


def test_the_command_refuses_an_unknown_package(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "run.py"), "--only", "lunch", "--output", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "invalid choice: 'lunch'" in result.stderr


def test_raw_figures_can_be_written_as_json() -> None:
    (ours, _) = measure_case(case(slow=SLOW), 1, measure)
    assert json.loads(json.dumps(ours.as_json()))["side"] == OUR_SIDE
