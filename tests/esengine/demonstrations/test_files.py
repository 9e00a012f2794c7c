"""Demonstrations: what is written is read back to the last bit, and what is no good is told by
file, trajectory and field.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.demonstrations import (
    Demonstrations,
    Trajectory,
    load_demonstrations,
    save_demonstrations,
)
from esengine.demonstrations.trajectories import TrajectoryError
from esengine.environments import ActionSpec, EnvironmentSpec
from esengine.errors import UserError
from esengine.launch.cli import main

PENDULUM = ActionSpec("box", (1,), (-2.0,), (2.0,), (1,))


def trajectory(length: int, seed: int, labels: bool = False) -> Trajectory:
    random = np.random.default_rng(seed)
    actions = random.uniform(-2, 2, (length, 1))
    known = np.where(random.random((length, 1)) < 0.5, actions, np.nan) if labels else None
    return Trajectory(
        random.normal(size=(length + 1, 3)),
        actions,
        random.normal(size=length),
        True,
        False,
        seed,
        known,
    )


def pendulum(*lengths: int, labels: bool = False) -> Demonstrations:
    trajectories = tuple(trajectory(length, seed, labels) for seed, length in enumerate(lengths))
    return Demonstrations(EnvironmentSpec("Pendulum-v1", {"g": 9.0}), PENDULUM, trajectories)


def same(first: Demonstrations, second: Demonstrations) -> bool:
    pairs = zip(first.trajectories, second.trajectories, strict=True)
    return first.environment == second.environment and all(a.equals(b) for a, b in pairs)


@pytest.mark.parametrize("labels", [False, True])
def test_an_npz_gives_back_every_bit(tmp_path: Path, labels: bool) -> None:
    written = pendulum(3, 1, 7, labels=labels)
    save_demonstrations(tmp_path / "demos.npz", written)
    assert same(written, load_demonstrations([tmp_path / "demos.npz"]))
    image = (tmp_path / "demos.npz").read_bytes()
    save_demonstrations(tmp_path / "demos.npz", written)
    assert image == (tmp_path / "demos.npz").read_bytes()


def test_a_minari_dataset_gives_back_every_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    rounded = [
        replace(
            one,
            observations=one.observations.astype(np.float32),
            actions=one.actions.astype(np.float32),
            seed=None,
        )
        for one in pendulum(3, 5).trajectories
    ]
    written = replace(pendulum(3), trajectories=tuple(rounded))
    save_demonstrations("minari:pendulum/random-v0", written)
    assert same(written, load_demonstrations(["minari:pendulum/random-v0"]))
    assert same(written, load_demonstrations([tmp_path / "pendulum" / "random-v0"]))
    with pytest.raises(
        UserError, match="--out must be new, got minari:pendulum/random-v0, which exists"
    ):
        save_demonstrations("minari:pendulum/random-v0", written)
    with pytest.raises(UserError, match="no place for labels"):
        save_demonstrations("minari:pendulum/labelled-v0", pendulum(3, labels=True))
    with pytest.raises(UserError, match="must be a whole Minari dataset"):
        load_demonstrations(["minari:pendulum/missing-v0"])


def test_several_files_of_one_environment_are_read_as_one(tmp_path: Path) -> None:
    for name, lengths in (("a.npz", (3, 4)), ("b.npz", (5,))):
        save_demonstrations(tmp_path / name, pendulum(*lengths))
    both = load_demonstrations([tmp_path / "a.npz", tmp_path / "b.npz"])
    assert [one.num_steps for one in both.trajectories] == [3, 4, 5]


def test_whole_trajectories_are_held_out() -> None:
    demonstrations = pendulum(*range(1, 11))
    training, held_out = demonstrations.split(0.2, seed=3)
    lengths = [[one.num_steps for one in part] for part in (training.trajectories, held_out)]
    assert [len(part) for part in lengths] == [8, 2]
    assert sorted(lengths[0] + lengths[1]) == list(range(1, 11))
    assert pendulum(1, 2, 3, 4).split(0.2, seed=3)[1] == ()


def test_subsampled_steps_are_every_so_many_from_a_drawn_first_one() -> None:
    demonstrations = pendulum(40, 40, 40, labels=False)
    sparse = demonstrations.transitions(every=10, seed=1)
    starts = []
    for index, one in enumerate(demonstrations.trajectories):
        rows = sparse.observations[sparse.trajectory == index]
        steps = [int(np.flatnonzero((one.observations == row).all(axis=1))[0]) for row in rows]
        assert np.diff(steps).tolist() == [10, 10, 10]
        starts.append(steps[0])
    assert len(set(starts)) > 1
    np.testing.assert_array_equal(sparse.terminated, False)
    assert demonstrations.transitions().terminated.sum() == 3


def test_only_labelled_steps_are_transitions() -> None:
    demonstrations = pendulum(50, labels=True)
    known = demonstrations.trajectories[0].labelled
    assert 0 < known.sum() < 50
    np.testing.assert_array_equal(
        demonstrations.transitions().targets, demonstrations.trajectories[0].targets[known]
    )


def test_a_trajectory_cannot_be_changed_and_checks_itself() -> None:
    one = trajectory(3, 0)
    with pytest.raises(ValueError, match="read-only"):
        one.actions[0] = 1
    with pytest.raises(
        TrajectoryError, match=r"rewards must have shape \(3,\) for 3 actions, got \(2,\)"
    ):
        replace(one, rewards=one.rewards[:2])
    with pytest.raises(TrajectoryError, match="actions must have at least one step"):
        replace(one, actions=one.actions[:0])


def broken(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Writes an npz of trajectories of 3 and 4 steps with some arrays changed."""

    def write(path: Path) -> None:
        save_demonstrations(path, pendulum(3, 4))
        with np.load(path) as file:
            arrays: dict[str, Any] = {name: np.array(file[name]) for name in file.files}
        change(arrays)
        np.savez(path, **arrays)

    return write


def cut(path: Path, length: int) -> None:
    save_demonstrations(path, pendulum(3))
    path.write_bytes(path.read_bytes()[:length])


BAD = {
    "too few rows": (
        broken(lambda a: a.update(rewards=a["rewards"][:6])),
        "rewards must have 7 rows for these lengths",
    ),
    "another observation": (
        broken(lambda a: a.update(observations=a["observations"][:, :2])),
        "trajectory 0: observations must have 3 numbers for Pendulum-v1, got 2",
    ),
    "no axis of numbers": (
        broken(lambda a: a.update(actions=a["actions"][:, 0])),
        "trajectory 0: actions must have two axes, steps and numbers, got shape (3,)",
    ),
    "NaN": (
        broken(lambda a: a["observations"].__setitem__((5, 1), np.nan)),
        "trajectory 1: observations must be finite, got nan at step 1",
    ),
    "infinite reward": (
        broken(lambda a: a["rewards"].__setitem__(2, np.inf)),
        "trajectory 0: rewards must be finite, got inf",
    ),
    "out of bounds": (
        broken(lambda a: a["actions"].__setitem__((4, 0), 2.5)),
        "trajectory 1: actions must be within the bounds -2 .. 2, got 2.5 at step 1",
    ),
    "another environment": (
        broken(
            lambda a: a.update(environment=np.array('{"env_id": "CartPole-v1", "arguments": {}}'))
        ),
        "trajectory 0: actions must be whole numbers within 0 .. 1",
    ),
    "unknown environment": (
        broken(
            lambda a: a.update(environment=np.array('{"env_id": "Pendulum-v9", "arguments": {}}'))
        ),
        "its environment cannot be made: --env-id must be a registered gymnasium environment, got "
        "Pendulum-v9",
    ),
    "an untrusted module": (
        broken(
            lambda a: a.update(
                environment=np.array('{"env_id": "worlds:TestBox-v0", "arguments": {}}')
            )
        ),
        "names the module 'worlds:TestBox-v0', whose code would run; add --trust-modules",
    ),
    "no label": (
        broken(lambda a: a.update(labels=np.full_like(a["actions"], np.nan))),
        "labels must be known at one step at least, got NaN at all of them",
    ),
    "no trajectory": (
        broken(lambda a: a.update({n: a[n][:0] for n in a if n != "environment"})),
        "must hold at least one trajectory, got none",
    ),
    "words": (
        broken(lambda a: a.update(actions=np.full((7, 1), "left"))),
        "trajectory 0: actions must be numbers",
    ),
    "a missing part": (broken(lambda a: a.pop("rewards")), "lacks rewards"),
    "pickled objects": (
        broken(lambda a: a.update(rewards=np.array([{}] * 7, object))),
        "but: rewards holds pickled objects, which are never read",
    ),
    "an empty file": (lambda path: path.write_bytes(b""), "got an empty file"),
    "a pickle": (
        lambda path: path.write_bytes(pickle.dumps({"actions": []})),
        "a pickle is never read",
    ),
    "a cut file": (lambda path: cut(path, 300), "must be a whole npz of plain arrays"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_demonstrations_get_one_sentence_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    write, message = BAD[case]
    path = tmp_path / "bad.npz"
    write(path)
    assert main(["demos", "inspect", str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "bad.npz" in error
    assert error.count("\n") == 1


def test_mixed_environments_and_missing_files_get_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_demonstrations(tmp_path / "a.npz", pendulum(3))
    save_demonstrations(
        tmp_path / "b.npz", replace(pendulum(3), environment=EnvironmentSpec("Pendulum-v1"))
    )
    assert main(["demos", "inspect", str(tmp_path / "a.npz"), str(tmp_path / "b.npz")]) == 2
    assert (
        "b.npz: demonstrations must be of one environment, got Pendulum-v1 beside Pendulum-v1 {'g'"
        in capsys.readouterr().err
    )
    assert main(["demos", "inspect", str(tmp_path / "c.npz")]) == 2
    assert "must name files that exist" in capsys.readouterr().err


def test_observations_alone_are_kept_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = pendulum(3, 4)
    seen = tuple(replace(one, actions=np.zeros((one.num_steps, 0))) for one in known.trajectories)
    save_demonstrations(tmp_path / "a.npz", replace(known, trajectories=seen))
    assert main(["demos", "convert", str(tmp_path / "a.npz"), "--out", "minari:states/a-v0"]) == 2
    assert "must hold actions" in capsys.readouterr().err
    assert main(["demos", "inspect", str(tmp_path / "a.npz")]) == 0
    told = capsys.readouterr().out
    assert "0% of the steps labelled" in told
    assert "the actions are not known: gail --state-only learns from the observations" in told
    mixed = (known.trajectories[0], seen[1])
    with pytest.raises(UserError, match="trajectory 1: actions must have 1 numbers a step, got 0"):
        replace(known, trajectories=mixed)


def test_inspect_tells_what_is_there_and_convert_chooses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_demonstrations(tmp_path / "a.npz", pendulum(3, 4, 5))
    assert (
        main(
            [
                "demos",
                "convert",
                str(tmp_path / "a.npz"),
                "--out",
                str(tmp_path / "b.npz"),
                "--trajectories",
                "2",
            ]
        )
        == 0
    )
    assert (
        main(["demos", "inspect", str(tmp_path / "b.npz"), "--json", str(tmp_path / "b.json")]) == 0
    )
    assert "Pendulum-v1 {'g': 9.0}: 2 trajectories" in capsys.readouterr().out
    assert (
        main(["demos", "convert", str(tmp_path / "a.npz"), "--out", str(tmp_path / "b.txt")]) == 2
    )
    assert "--out must end in .npz or be minari:ID" in capsys.readouterr().err
