"""Files of other programs are read whole, or refused by name."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np

from tests.chaos.strangers.place import ENV, Place, case, must

CLONE = "train behavior-cloning --generations 1 --final-episodes 1 --ranks 1 --run-dir RUN"
DATASET = """
import gymnasium, minari, numpy as np
from minari.data_collector import EpisodeBuffer

env = gymnasium.make("Pendulum-v1")
env.action_space.seed(0)
seen, acted = [env.reset(seed=0)[0]], []
for _ in range(20):
    acted.append(env.action_space.sample())
    seen.append(env.step(acted[-1])[0])
episode = EpisodeBuffer(
    id=0, seed=0, observations=np.array(seen), actions=np.array(acted), rewards=[0.0] * 20,
    terminations=[False] * 20, truncations=[False] * 19 + [True],
)
minari.create_dataset_from_buffers(
    "some/alone-v0", [episode], data_format="hdf5",
    observation_space=env.observation_space, action_space=env.action_space,
)
"""


@case("a checkpoint of PyTorch and a pickle, given as policies, are named")
def torch_and_pickle(place: Place) -> None:
    import torch

    torch.save({"weight": torch.zeros(3)}, place.folder / "model.pt")
    (place.folder / "model.pkl").write_bytes(pickle.dumps({"weight": np.zeros(3)}, protocol=2))
    search = f"train {ENV} --env-id CartPole-v1 --ranks 1"
    place.refused(f"{search} --init-policy model.pt", "model.pt", "PyTorch")
    place.refused("evaluate model.pkl --ranks 1", "model.pkl", "pickle")


@case("exports of the run itself, given as policies, are named")
def exports(place: Place) -> None:
    place.well(f"train {ENV} --env-id CartPole-v1 --ranks 1")
    place.well("export RUN --format onnx --out p.onnx")
    place.well("export RUN --format torch --out p.safetensors")
    place.refused("collect --policy p.onnx --episodes 1 --ranks 1", "p.onnx", "ONNX")
    place.refused("evaluate p.safetensors --ranks 1", "p.safetensors", "export")


@case("an npz of another project, given as demonstrations, is refused in one sentence")
def npz_of_others(place: Place) -> None:
    np.savez(
        place.folder / "expert.npz",
        obs=np.zeros((5, 4), np.float32),
        actions=np.zeros(5),
        rewards=np.ones(5),
        episode_returns=np.ones(1),
        episode_starts=np.arange(5) == 0,
    )
    place.refused(f"{CLONE} --demonstrations expert.npz --env-id CartPole-v1", "expert.npz")


@case("a Minari dataset without environment is refused, and trains with --env-id")
def dataset_alone(place: Place) -> None:
    folder = str(place.folder / "minari")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DATASET],
        check=True,
        capture_output=True,
        env=place.variables(MINARI_DATASETS_PATH=folder),
    )
    clone = f"{CLONE} --demonstrations minari:some/alone-v0"
    place.refused(clone, "--env-id", MINARI_DATASETS_PATH=folder)
    wrong = f"{clone} --env-id CartPole-v1"
    place.refused(wrong, "observation space", MINARI_DATASETS_PATH=folder)
    place.well(f"{clone} --env-id Pendulum-v1", MINARI_DATASETS_PATH=folder)
    must("Pendulum-v1" in place.text("RUN/config.json"), "another environment")
