"""Measure the planners, and imitation of them; writes ``benchmarks/planners/RESULTS.md`` and
``results.json``.

``python -m benchmarks.planners.run`` takes about half an hour on a quiet core. With ``--parts``,
``--methods`` or ``--seeds`` it measures a part and keeps the other figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.planners.report import write_report
from benchmarks.planners.speed import ROBOTS, measure_loops, measure_settings
from esengine.algorithms.planners import PlannerExpert
from esengine.demonstrations import load_demonstrations
from esengine.environments import EnvironmentSpec
from esengine.launch.cli import main
from esengine.launch.settings.planners import load_planner
from esengine.simulators import make_dynamics

HERE = Path(__file__).parent


class Case(NamedTuple):
    """A planner in an environment.

    Attributes:
        env_id: the environment.
        planner: of ``--planner``.
        arguments: of ``--planner-arg``.
        episodes: at most, for planners that take minutes an episode.
        max_steps: of an episode, after which it is cut.
    """

    env_id: str
    planner: str
    arguments: tuple[str, ...] = ()
    episodes: int = 100
    max_steps: int = 1000


SWING_UP, CHEETAH = "esengine/CartPoleSwingUp-v0", "HalfCheetah-v5"
SMOOTH = ("horizon=60", "noise_correlation=0.8")
CASES = [
    Case("Pendulum-v1", "mppi"),
    Case("Pendulum-v1", "cross-entropy"),
    Case("Pendulum-v1", "ilqr"),
    Case(SWING_UP, "mppi", SMOOTH),
    Case(SWING_UP, "cross-entropy", SMOOTH),
    Case(SWING_UP, "ilqr", ("horizon=60",)),
    Case(CHEETAH, "mppi", ("horizon=20", "num_candidates=32"), 1, 200),
    Case(CHEETAH, "cross-entropy", ("horizon=20", "num_candidates=16"), 1, 200),
    Case(CHEETAH, "ilqr", ("horizon=20", "num_iterations=1", "cross_terms=false"), 1, 200),
]
MORE_LABELS = 10_000  # of one more cloned policy
LABELS, STEPS = 2000, 200  # of an imitation run on Pendulum-v1, and of an episode there


METHODS = [
    "behavior-cloning",
    f"behavior-cloning of {MORE_LABELS:,} labels",
    "dagger",
    "plato",
    "guided-policy-search",
]


def measure_case(case: Case, episodes: int) -> dict[str, Any]:
    """Returns of a planner's and of random episodes from the same starts, and labels a second of
    processor time.
    """
    spec = EnvironmentSpec(case.env_id)
    expert = PlannerExpert(load_planner(case.planner, case.arguments), make_dynamics(spec))
    env, returns, spent_s, labels, randoms = spec.make(), list[float](), 0.0, 0, list[float]()
    expert.begin(env, 0)
    expert.act(env.reset(seed=0)[0])  # compiles
    for seed in range(min(episodes, case.episodes)):
        for planned in (False, True):
            observation, _ = env.reset(seed=seed)
            env.action_space.seed(seed)
            expert.begin(env, seed)
            total, over, steps = 0.0, False, 0
            while not over:
                began = time.process_time()
                action = expert.act(observation) if planned else env.action_space.sample()
                spent_s += planned * (time.process_time() - began)
                labels += planned
                observation, reward, terminated, truncated, _ = env.step(action)
                total, steps = total + float(reward), steps + 1
                over = terminated or truncated or steps == case.max_steps
            (returns if planned else randoms).append(total)
    values = {
        "planner_return": round(float(np.mean(returns)), 1),
        "random_return": round(float(np.mean(randoms)), 1),
        "labels_per_s": round(labels / spent_s, 1),
    }
    return {**case._asdict(), "episodes": len(returns)} | values


def measure_workers(folder: Path, episodes: int) -> dict[str, Any]:
    """Wall time of collecting with one worker and with two; their files are the same bytes."""
    seconds, images = {}, []
    for ranks in (1, 2):
        out = folder / f"{ranks}.npz"
        flags = [
            "--env-id",
            CHEETAH,
            "--planner",
            "mppi",
            "--planner-arg",
            "horizon=20",
            "num_candidates=32",
            "--quiet",
        ]
        count = [
            "--episodes",
            str(2 * episodes),
            "--max-episode-steps",
            "200",
            "--ranks",
            str(ranks),
            "--out",
            str(out),
        ]
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "esengine", "collect", *flags, *count], check=True)
        seconds[ranks] = time.monotonic() - began
        images.append(out.read_bytes())
    ratio = round(seconds[1] / seconds[2], 2)
    return {
        "one_s": round(seconds[1], 1),
        "two_s": round(seconds[2], 1),
        "ratio": ratio,
        "same_bytes": images[0] == images[1],
    }


def measure_imitation(folder: Path, seeds: list[int], chosen: list[str]) -> list[dict[str, Any]]:
    """Methods that learn from one planner at equal labels; normalised returns on 100 fixed
    starts.
    """
    teacher = ["--planner", "mppi"]
    rounds = [
        "--generations",
        str(LABELS // STEPS),
        "--episodes-per-round",
        "1",
        "--epochs-per-round",
        "50",
    ]
    scale = {}
    for name, flags in {
        "planner": teacher,
        "random": ["--expert", "benchmarks.planners.run:Nobody"],
    }.items():
        out = folder / f"{name}.npz"
        run(
            [
                "collect",
                "--env-id",
                "Pendulum-v1",
                *flags,
                "--episodes",
                "100",
                "--seed",
                "1000",
                "--out",
                str(out),
            ]
        )
        scale[name] = float(load_demonstrations([out]).returns.mean())
    rows = []
    for seed in seeds:
        demos, more = (folder / f"{name}{seed}.npz" for name in ("demos", "more"))
        for out, episodes, method in (
            (demos, LABELS // STEPS, METHODS[0]),
            (more, MORE_LABELS // STEPS, METHODS[1]),
        ):
            if method not in chosen:
                continue
            count = ["--episodes", str(episodes), "--seed", str(seed), "--out", str(out)]
            run(["collect", "--env-id", "Pendulum-v1", *teacher, *count])
        methods = {
            name: ["--env-id", "Pendulum-v1", *teacher, *rounds, "--eval-every", "0"]
            for name in METHODS[2:]
        }
        methods |= {
            name: ["--demonstrations", str(file), "--eval-every", "0"]
            for name, file in zip(METHODS, (demos, more), strict=False)
        }
        for method in chosen:
            flags = methods[method]
            path, report = folder / f"{method} {seed}", folder / f"{method} {seed}.json"
            run(["train", method.split()[0], *flags, "--seed", str(seed), "--run-dir", str(path)])
            run(
                [
                    "evaluate",
                    str(path),
                    "--episodes",
                    "100",
                    "--seed",
                    "1000",
                    "--json",
                    str(report),
                ]
            )
            value = json.loads(report.read_text())["mean_return"]
            normalized = (value - scale["random"]) / (scale["planner"] - scale["random"])
            rows.append(
                {
                    "method": method,
                    "seed": seed,
                    "mean_return": round(value, 1),
                    "normalized": round(normalized, 3),
                }
            )
    return rows


class Nobody:
    """An expert that acts at random."""

    def begin(self, env: Any, seed: int) -> None:
        self._random, self._space = np.random.default_rng(seed), env.action_space

    def act(self, observation: Any) -> Any:
        return self._random.uniform(self._space.low, self._space.high).astype(np.float32)


def run(flags: list[str]) -> None:
    """An ``esengine`` command in this process; ends the measurement if it fails."""
    status = main(
        [*flags, "--ranks", "1", "--quiet"] if flags[0] != "evaluate" else [*flags, "--ranks", "1"]
    )
    if status:
        sys.exit(f"esengine {' '.join(flags)} ended with {status}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        default=["imitation", "planners", "workers", "loops", "settings"],
        help="what to measure",
    )
    parser.add_argument(
        "--methods", nargs="+", default=METHODS, choices=METHODS, help="of the imitation"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(range(5)), help="of each imitation method"
    )
    parser.add_argument(
        "--episodes",
        type=int,
        default=20,
        help="episodes of each planner; one where they take minutes",
    )
    parser.add_argument(
        "--robots",
        nargs="+",
        default=[one.env_id for one in ROBOTS],
        help="whose settings to measure",
    )
    parser.add_argument(
        "--robot-episodes", type=int, default=2, help="episodes of each setting of a robot"
    )
    parser.add_argument("--note", help="what the page says about the machine")
    chosen = parser.parse_args()
    file = HERE / "results.json"
    with tempfile.TemporaryDirectory() as name:
        results: dict[str, Any] = {}
        if "imitation" in chosen.parts:
            results["imitation"] = measure_imitation(Path(name), chosen.seeds, chosen.methods)
        if "planners" in chosen.parts:
            results["planners"] = [measure_case(case, chosen.episodes) for case in CASES]
        if "workers" in chosen.parts:
            results["workers"] = measure_workers(Path(name), chosen.episodes)
        if "loops" in chosen.parts:
            results["loops"] = list(measure_loops())
        if "settings" in chosen.parts:
            results["settings"] = list(measure_settings(chosen.robot_episodes, chosen.robots))
    kept = json.loads(file.read_text()) if file.exists() else {"imitation": []}
    if "settings" in results:
        others = [row for row in kept.get("settings", []) if row["env_id"] not in chosen.robots]
        results["settings"] = [*others, *results["settings"]]
    new = {
        (row["method"], row["seed"]): row
        for row in [*kept["imitation"], *results.get("imitation", [])]
    }
    results = (
        kept | results | {"note": kept.get("note", "") if chosen.note is None else chosen.note}
    )
    results["imitation"] = sorted(
        new.values(), key=lambda row: (METHODS.index(row["method"]), row["seed"])
    )
    file.write_text(json.dumps(results, indent=1) + "\n")
    write_report(results, HERE / "RESULTS.md")
