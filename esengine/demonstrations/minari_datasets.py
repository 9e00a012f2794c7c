"""Minari datasets as demonstrations and back. Minari is imported when one is read or written; its
files hold no code.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from esengine.demonstrations.origin import Origin
from esengine.demonstrations.stacked_trajectories import checked
from esengine.demonstrations.trajectories import Demonstrations, Trajectory
from esengine.environments import ActionSpec, EnvironmentSpec, ObservationSpec
from esengine.environments.wrappers import wrappers_of
from esengine.errors import UserError, pip_install
from esengine.storage.files import parse_json, read_json
from esengine.storage.hdf5_files import check_hdf5
from esengine.user_code import close

_NO_LIMIT = -1  # as gymnasium.make takes it
_FREE_BYTES = 256 << 20  # that observations of any dataset may take
_MOST_FLATTENED = 64  # bytes that a byte of a larger one may take: states become long vectors


def read_dataset(dataset_id: str, folder: Path | None) -> tuple[Origin, list[Trajectory]]:
    """The environment and the episodes of a dataset.

    The environment is the one that the dataset names for evaluations, if it does, since policies
    are judged there. Its id, arguments, limit of steps and gymnasium's wrappers are taken from the
    dataset, never an entry point, which could name any code.

    Args:
        dataset_id: as `minari.list_local_datasets` gives it.
        folder: of the dataset, where it lies elsewhere than in Minari's own folder.

    Raises:
        UserError: Minari is not installed, there is no such dataset, or it is invalid.
    """
    minari = _minari()
    shown = str(folder) if folder is not None else f"minari:{dataset_id}"
    with _in_words(f"{shown} must be a whole Minari dataset"):
        place = folder or Path(minari.storage.get_dataset_path(dataset_id))
        described, size = _check_files(place / "data")
        dataset = minari.MinariDataset(place / "data")
    space = dataset.observation_space
    origin = _origin(shown, described, space, dataset.action_space)
    observations, action = ObservationSpec.of(space), ActionSpec.of(dataset.action_space)
    room = max(_FREE_BYTES, _MOST_FLATTENED * size)
    trajectories: list[Trajectory] = []

    episodes = iter(dataset.iterate_episodes())
    while True:
        with _in_words(f"{shown}, trajectory {len(trajectories)} must be readable"):
            episode = next(episodes, None)
            if episode is None:
                return origin, trajectories
            steps = len(episode.rewards)
            room -= 8 * observations.dim * (steps + 1)
            if room < 0:
                raise ValueError(
                    f"its observations of {observations.dim} numbers need more memory than a "
                    f"dataset of {size} bytes may take"
                )
            seen = [
                observations.flat(space, _step(episode.observations, step), np.float64)
                for step in range(steps + 1)
            ]
            acted = [action.flat(_step(episode.actions, step)) for step in range(steps)]
        trajectory = checked(
            shown,
            len(trajectories),
            observations=seen,
            actions=acted if acted else np.zeros((0, len(action.sizes))),
            rewards=episode.rewards,
            terminated=bool(steps and episode.terminations[-1]),
            truncated=bool(steps and episode.truncations[-1]),
        )
        trajectories.append(trajectory)


def _origin(
    name: str, described: dict[str, Any], observation_space: Any, action_space: Any
) -> Origin:
    """What a dataset's description says of its environment. Raises UserError."""
    with _in_words(f"{name} must describe its environment as gymnasium does"):
        recorded = _environment(described.get("env_spec"))
        origin = recorded
        if described.get("eval_env_spec") is not None:
            origin = _environment(described["eval_env_spec"])

    if origin.environment is not None and origin.environment != recorded.environment:
        warnings.warn(
            f"{name} names an environment for evaluations, {_shown(origin, recorded)}, in which "
            f"policies are trained and judged; name another one by --env-id",
            stacklevel=2,
        )
        origin = replace(origin, other=recorded.environment)
    return replace(origin, observation_space=observation_space, action_space=action_space)


def _shown(origin: Origin, recorded: Origin) -> str:
    """The environment of an origin, with the arguments that another one has not."""
    assert origin.environment is not None
    others = {} if recorded.environment is None else recorded.environment.arguments
    own = origin.environment.arguments.items()
    different = {name: value for name, value in own if others.get(name) != value}
    return str(replace(origin.environment, arguments=different))


def _environment(text: Any) -> Origin:
    """The environment of a description of gymnasium's, as JSON, as far as it can be had.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is no such description.
    """
    if text is None:
        return Origin(None, "it names none")
    described = parse_json(str(text))
    env_id, limit = str(described["id"]), described.get("max_episode_steps")
    arguments = dict(described.get("kwargs") or {})
    arguments.pop("render_mode", None)

    registered = gymnasium.registry.get(env_id)
    if registered is None or registered.max_episode_steps != limit:
        arguments["max_episode_steps"] = _NO_LIMIT if limit is None else int(limit)

    module = str(described.get("entry_point") or "").partition(":")[0].partition(".")[0]
    try:
        wrappers = wrappers_of(described.get("additional_wrappers") or ())
    except ValueError as error:
        return Origin(EnvironmentSpec(env_id, arguments), str(error), module)
    return Origin(EnvironmentSpec(env_id, arguments, wrappers), module=module)


def _check_files(data: Path) -> tuple[dict[str, Any], int]:
    """Check the files of a dataset before Minari reads them; returns its description, and the bytes
    of its arrays.

    Raises ValueError or OSError.
    """
    described = read_json(data / "metadata.json")
    if not isinstance(described, dict) or described.get("data_format", "hdf5") != "hdf5":
        raise ValueError("metadata.json must be of a dataset of format hdf5")
    for name in ("observation_space", "action_space"):  # else Minari makes what env_spec names
        if not isinstance(described.get(name), str):
            raise ValueError(f"metadata.json must have {name}")
    check_hdf5(data / "main_data.hdf5", "episode_")
    size = (data / "main_data.hdf5").stat().st_size
    episodes = described.get("total_episodes")
    if not isinstance(episodes, int) or not 0 <= episodes <= size:
        raise ValueError(f"metadata.json claims {episodes!r:.40} episodes")
    return described, size


def write_dataset(dataset_id: str, demonstrations: Demonstrations) -> None:
    """Write a new dataset into Minari's own folder.

    Raises:
        UserError: it exists, Minari refuses the name, or the demonstrations have parts that a
            dataset has no place for.
    """
    minari = _minari()
    check_new(dataset_id)
    if any(trajectory.labels is not None for trajectory in demonstrations.trajectories):
        raise UserError(
            f"minari:{dataset_id} has no place for labels beside actions, which these have; write "
            f"an npz"
        )
    env = demonstrations.environment.open()

    try:
        space = env.observation_space
        if not ObservationSpec.of(space).direct:
            raise UserError(
                f"minari:{dataset_id} must be of an environment that observes a Box, got {space}; "
                f"write an npz"
            )
        buffers = [
            minari.data_collector.EpisodeBuffer(
                id=index,
                seed=trajectory.seed,
                observations=trajectory.observations.astype(space.dtype).reshape(
                    -1, *(space.shape or ())
                ),
                actions=np.stack([demonstrations.action.unflat(row) for row in trajectory.actions]),
                rewards=trajectory.rewards.tolist(),
                terminations=_last(trajectory.num_steps, trajectory.terminated),
                truncations=_last(trajectory.num_steps, trajectory.truncated),
            )
            for index, trajectory in enumerate(demonstrations.trajectories)
        ]
        with _in_words(
            f"minari:{dataset_id} must be a name that Minari takes, such as "
            f"minari:pendulum/scripted-v0"
        ):
            minari.create_dataset_from_buffers(dataset_id, buffers, env=env, data_format="hdf5")
    finally:
        close(env)


def check_new(dataset_id: str) -> None:
    """Raises UserError if Minari's folder has this dataset already, or Minari is not installed."""
    minari = _minari()
    with _in_words("Minari's folder must be readable"):
        known = minari.list_local_datasets()
    if dataset_id in known:
        raise UserError(
            f"--out must be new, got minari:{dataset_id}, which exists; use another version number"
        )


def _minari() -> Any:
    try:
        import h5py  # noqa: F401 - the format that is written
        import minari
        import minari.data_collector
    except ImportError as error:
        raise UserError(
            f"Minari datasets need a package that is missing: {error}; {pip_install('minari')}"
        ) from error
    return minari


@contextmanager
def _in_words(rule: str) -> Iterator[None]:
    """Whatever Minari raises, as one sentence; its warnings about missing descriptions are
    dropped.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{rule}, but: {type(error).__name__}: {error}") from error


def _step(values: Any, step: int) -> Any:
    """One step of an episode's values, which are arrays in the structure of the space."""
    if isinstance(values, Mapping):
        return {name: _step(part, step) for name, part in values.items()}
    if isinstance(values, tuple):
        return tuple(_step(part, step) for part in values)
    return values[step]


def _last(count: int, value: bool) -> list[bool]:
    return [False] * (count - 1) + [value]
