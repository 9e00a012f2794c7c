"""Learned models: the compiled plan equals its twin, and files are checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from esengine.environments import describe
from esengine.errors import UserError
from esengine.models import LearnedDynamics, LearnedModel, ModelSpec, load_model, save_model
from esengine.models.dynamics import follow_candidates_reference


def random_model(env_id: str) -> tuple[gymnasium.Env, LearnedModel]:
    env = gymnasium.make(env_id)
    observations, action = describe(env)
    spec = ModelSpec(observations.dim, action, (16, 8), 3)
    random = np.random.default_rng(0)
    arrays = {
        name: random.normal(size=size).astype(np.float32) * 0.3
        for name, size in LearnedModel.sizes(spec).items()
    }
    arrays["target_std"] = np.abs(arrays["target_std"])
    return env, LearnedModel(spec, **arrays)


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "CartPole-v1"])
def test_candidates_return_what_their_twin_returns(env_id: str) -> None:
    env, model = random_model(env_id)
    observation, _ = env.reset(seed=1)
    returns = []
    for logit in (-1e6, 0.0, 1e6):  # of termination: never, in some steps, at once
        rows = model.parameters.reshape(model.spec.num_members, -1).copy()
        rows[:, -1] = logit
        ending = replace(model, parameters=rows.ravel())
        dynamics = LearnedDynamics(env, ending)
        state = dynamics.state_of(env, observation)
        controls = np.random.default_rng(2).uniform(dynamics.low, dynamics.high, (7, 9, 1))
        found = dynamics.returns(state, controls)
        expected = follow_candidates_reference(
            ending, state.astype(np.float32), dynamics.values(controls), dynamics._noise
        )
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        # a candidate's return depends on no other one
        assert dynamics.returns(state, controls[3:4]).tolist() == found[3:4].tolist()
        returns.append(found)
    assert (returns[0] != returns[2]).all()


def test_files_keep_models_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    env, model = random_model("Pendulum-v1")
    path = tmp_path / "model.safetensors"
    save_model(path, model)
    again = load_model(tmp_path)
    assert again.spec == model.spec
    assert again.packed().tobytes() == model.packed().tobytes()
    assert LearnedModel.unpacked(model.spec, model.packed()).packed().size == model.packed().size

    with pytest.raises(UserError, match="--model must be of this environment's spaces"):
        LearnedDynamics(gymnasium.make("CartPole-v1"), again)
    save_model(path, replace(model, target_std=-model.target_std - 1))
    with pytest.raises(UserError, match="must be a whole model file, but: target_std must not be"):
        load_model(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="must be a whole model file"):
        load_model(path)
    env.close()
