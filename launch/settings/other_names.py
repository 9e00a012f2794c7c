"""Names of settings that are not ours: an alias that is accepted, and other packages' names, which
are answered with ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from esengine.errors import UserError

T = TypeVar("T")

ALIASES = {"ranks": "workers"}
"""Settings that are accepted under another name, and their name."""

_OURS = {
    "max_env_steps": ("total_timesteps", "timesteps", "total_steps", "max_steps", "num_steps"),
    "max_evaluations": ("maxfevals", "max_evals", "max_fevals", "maxfun"),
    "max_time": ("timeout", "time_limit"),
    "generations": ("maxiter", "max_iter", "iterations", "num_generations", "epochs"),
    "target_return": ("ftarget", "target_fitness", "reward_threshold"),
    "workers": ("n_envs", "num_envs", "num_workers", "num_actors", "n_jobs", "cores", "processes"),
    "population_size": ("popsize", "pop_size", "population", "num_particles", "offspring"),
    "env_id": ("env", "env_name", "environment", "gym_id"),
    "env_arg": ("env_kwargs", "env_config", "env_args"),
    "sigma": ("sigma0", "stdev_init", "noise_std", "cmasigma"),
    "learning_rate": ("lr", "step_size", "center_learning_rate"),
    "mean_learning_rate": ("lr", "learning_rate", "center_learning_rate"),
    "initial_mean": ("x0", "center_init"),
    "lower_bound": ("bounds", "lower", "lb"),
    "dimension": ("dim", "num_dims", "solution_length", "num_params"),
    "hidden_sizes": ("net_arch", "policy_kwargs", "hidden", "layers"),
    "policy": ("network",),
    "init_policy": ("warm_start", "pretrained"),
    "eval_every": ("eval_freq", "eval_interval"),
    "eval_episodes": ("n_eval_episodes", "num_eval_episodes"),
    "episodes_per_member": ("num_episodes", "n_repetitions", "rollouts"),
    "episodes": ("n_episodes", "n_eval_episodes", "num_episodes"),
    "run_dir": ("log_dir", "logdir", "output", "save_path", "outdir"),
    "checkpoint_every": ("save_freq", "save_every", "checkpoint_freq"),
    "keep_members": ("keep_evaluations", "store_solutions", "log_evaluations"),
    "quiet": ("verbose", "silent", "progress_bar"),
    "normalize_observations": ("obs_norm", "observation_normalization", "norm_obs"),
}


def answer(name: str, known: Iterable[str]) -> str | None:
    """Our setting for a name of another package, or None.

    Args:
        name: with underscores.
        known: the settings that there are here.
    """
    there = set(known)
    if name in there:
        return None
    found = (ours for ours, others in _OURS.items() if name in others and ours in there)
    return next(found, None)


def without_aliases(values: dict[str, T], known: Iterable[str]) -> dict[str, T]:
    """Values by their settings' own names. Raises UserError for a setting that is given twice."""
    there = set(known)
    found: dict[str, T] = {}
    for name, value in values.items():
        own = ALIASES.get(name, name)
        own = own if name not in there and own in there else name
        if own in found or (own != name and own in values):
            raise UserError(f"{own} must be given once, got it also as {name}; drop one")
        found[own] = value
    return found
