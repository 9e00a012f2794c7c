"""The groups of settings that all methods share, in the order of ``--help``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from esengine.checks import (
    at_least,
    belong_to,
    finite,
    named_values,
    not_negative,
    positive,
    text_of,
    within,
)
from esengine.environments import EnvironmentSpec
from esengine.environments.wrappers import Wrapper, wrappers_from
from esengine.errors import UserError, listed
from esengine.launch.settings.search_space import MOST_PARAMETERS
from esengine.policies.network import Activation


@dataclass(frozen=True)
class TaskSettings:
    """What is optimised: a policy for an environment, or a plain function."""

    env_id: str | None = None
    """Gymnasium environment to train a policy for, as EnvId or module:EnvId."""
    env_arg: tuple[str, ...] = ()
    """Arguments of the environment, each name=value; a value is JSON, a Python literal or a plain
    word.
    """
    env_wrapper: tuple[str, ...] = ()
    """Wrappers of gymnasium around the environment, the innermost first, each Name or
    Name={"argument": value}; for example RescaleAction={"min_action": -1, "max_action": 1}.
    """
    objective: str | None = None
    """Plain function to optimise instead of an environment, as module:function."""
    command: str | None = None
    """Program to run for every member instead, with its arguments in one text, such as './sim
    {input} {output}'; placeholders are input, output, folder, seed, threads and the names of
    variables.
    """
    minimize: bool = False
    """The objective is a cost: lower is better."""

    def check(self) -> None:
        """Raises UserError unless there is one task."""
        given = [each for each in (self.env_id, self.objective, self.command) if each is not None]
        if len(given) != 1:
            raise UserError(
                f"a run needs either --env-id or --objective or --command, got "
                f"{listed(given) or 'none'}; for example --env-id CartPole-v1"
            )

    @property
    def is_function(self) -> bool:
        """Whether points are evaluated, by an objective or a program, and no policy."""
        return self.env_id is None

    @property
    def task(self) -> str:
        """The name of the environment, the objective or the program."""
        if self.command is not None:
            return Path(self.command.split()[0]).name
        return self.env_id or self.objective or ""

    def env_arguments(self) -> dict[str, Any]:
        """The keyword arguments of the environment. Raises UserError for a text that is not
        name=value.
        """
        return env_arguments(self.env_arg)

    def environment(self) -> EnvironmentSpec:
        """The environment. Raises UserError for texts that name no arguments or wrappers."""
        assert self.env_id is not None
        return environment_of(self.env_id, self.env_arg, self.env_wrapper)


@dataclass(frozen=True)
class BudgetSettings:
    """When the run ends; `esengine resume` may change all of these."""

    generations: int | None = None
    """Stop after this many generations; if no budget is given, 100 with an environment and 10000
    with an objective.
    """
    max_env_steps: int | None = None
    """Stop after the generation in which training has used this many environment steps."""
    max_evaluations: int | None = None
    """Stop after the generation in which training has used this many episodes or function values.
    """
    max_time: float | None = None
    """Stop after the generation in which training has lasted this many seconds, earlier starts
    included.
    """
    target_return: float | None = None
    """Stop when an evaluation of the policy reaches this return; for an objective, when its best
    value does.
    """

    @property
    def has_budget(self) -> bool:
        """Whether the run may use up a budget that was given."""
        budgets = (self.generations, self.max_env_steps, self.max_evaluations, self.max_time)
        return any(budget is not None for budget in budgets)

    def check(self) -> None:
        """Raises UserError for a budget that is used up before the first generation."""
        at_least(self, 1, "generations", "max_env_steps", "max_evaluations")
        positive(self, "max_time", way_out="leave it out for no limit")


@dataclass(frozen=True)
class RunSettings:
    """The run: its seed, and what is kept of it."""

    seed: int = 0
    """Seed of every random number. The result depends on it, and not on the number of ranks."""
    run_dir: Path | None = None
    """Directory of the run; default runs/<method>-<environment>-<seed>-<time>."""
    checkpoint_every: int = 10
    """Generations between checkpoints; 0 saves only at the end."""
    keep_checkpoints: int = 3
    """Number of newest checkpoints to keep."""
    noise_table_size: int | None = None
    """Numbers in the noise table, a power of two; default 2^24 (64 MB per node) to 2^28, depending
    on the parameters; 0 computes noise without a table.
    """

    def check(self) -> None:
        """Raises UserError for values out of range."""
        at_least(self, 0, "seed", "checkpoint_every")
        at_least(self, 1, "keep_checkpoints")


@dataclass(frozen=True)
class StartSettings:
    """One start of a run. No result depends on these, and each `esengine resume` has its own."""

    workers: int | None = None
    """Workers to start on this machine; 1 stays in this process. Default one per core, once the run
    has lasted longer than starting them does.
    """
    trust_modules: bool = False
    """Import the modules to which files refer, which runs their code, and open the files that
    recorded arguments of an environment name.
    """
    quiet: bool = False
    """Print only errors."""

    def check(self) -> None:
        """Raises UserError for less than one worker."""
        at_least(self, 1, "workers")


POLICIES = ("auto", "linear", "mlp", "gru", "lstm", "conv")


@dataclass(frozen=True)
class PolicySettings:
    """The policy: its architecture, and how it sees and acts."""

    policy: str = "auto"
    """Architecture: linear, mlp, gru, lstm, conv, or a torch.nn.Module as module:Class. gru and
    lstm have a memory, their last hidden layer; conv begins with --convolutions of a picture; auto
    is linear for MuJoCo tasks and mlp for all others.
    """
    hidden_sizes: tuple[int, ...] = (16,)
    """Units of each hidden layer."""
    convolutions: tuple[str, ...] = ()
    """Convolutions of a picture, each filters x kernel / stride as in 16x8/4; gru and lstm take
    pictures by them, too. Default with --policy conv: 16x8/4 32x4/2, or 16x3/1 for pictures of less
    than 36 pixels.
    """
    activation: Activation = "tanh"
    """Activation of dense hidden layers."""
    layer_norm: bool = False
    """Normalise each dense hidden layer before its activation."""
    sampled_actions: bool = False
    """Draw actions from the policy's distribution instead of taking its mode."""
    normalize_observations: bool = True
    """Scale observations by their running mean and standard deviation."""

    def check(self) -> None:
        """Raises UserError for layers that no network can have."""
        if self.policy not in POLICIES and ":" not in self.policy:
            raise UserError(
                f"--policy must be {listed(POLICIES)} or module:Class, got {self.policy}"
            )
        parse_convolutions(self.convolutions)
        if self.convolutions and self.policy not in ("conv", "gru", "lstm"):
            raise UserError(
                f"--convolutions must be used with --policy conv, gru or lstm, got {self.policy}"
            )
        if self.policy in ("gru", "lstm") and not self.hidden_sizes:
            raise UserError(
                f"--hidden-sizes must name at least one layer for --policy {self.policy}, got "
                f"none; use --hidden-sizes 64"
            )
        if any(size < 1 for size in self.hidden_sizes):
            raise UserError(
                f"--hidden-sizes must be at least 1 each, got {listed(self.hidden_sizes)}; use "
                f"--policy linear for none"
            )
        if math.prod(self.hidden_sizes) > MOST_PARAMETERS:
            raise UserError(
                f"--hidden-sizes must make at most {MOST_PARAMETERS} parameters, got "
                f"{listed(self.hidden_sizes)}; use fewer"
            )


def parse_convolutions(texts: tuple[str, ...]) -> tuple[tuple[int, int, int], ...]:
    """Filters, kernel and stride of each convolution. Raises UserError for another text."""
    found = []
    for text in texts:
        match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,2})/([1-9]\d{0,2})", text)
        if match is None:
            raise UserError(
                f"--convolutions must be filters x kernel / stride each, got {text!r}; for example "
                f"16x8/4"
            )
        filters, kernel, stride = map(int, match.groups())
        found.append((filters, kernel, stride))
    return tuple(found)


@dataclass(frozen=True)
class InitialPolicySettings:
    """Where the policy's parameters start, and how far they may move from there."""

    init_policy: Path | None = None
    """Start from this policy file, or from the policy of this run directory."""
    keep_skill: float = 0.8
    """With --init-policy: halve --sigma until members keep this share of the policy's return; 0
    keeps --sigma as it is.
    """
    anchor: float = 0.0
    """With --init-policy: subtract this much fitness for each unit of mean squared distance from
    the policy's parameters.
    """
    anchor_decay: float = 0.95
    """Factor on --anchor after every generation."""

    def check(self) -> None:
        """Raises UserError for values out of range, and for an anchor without a policy."""
        within(self, 0, 1, "keep_skill", "anchor_decay")
        not_negative(self, "anchor", way_out="0 turns it off")
        if self.init_policy is None:
            belong_to(self, "--init-policy", "none", "anchor")


MOST_LAG = 8
"""The largest ``--lag``: each open generation is kept in the memory of every node."""


@dataclass(frozen=True)
class EpisodeSettings:
    """The episodes that members run in training, and the fitness that they give."""

    episodes_per_member: int | None = None
    """Episodes of a member, or evaluations of an objective; default 4 in classic control, 1
    elsewhere.
    """
    member_statistic: Literal["mean", "min", "quantile"] = "mean"
    """Which statistic of the returns of these episodes is the member's fitness."""
    member_quantile: float = 0.5
    """Which quantile, with --member-statistic quantile."""
    survival_bonus: float = 0.0
    """Subtracted from the reward of every training step, for tasks that pay a bonus for staying
    alive.
    """
    episode_seeds: Literal["auto", "pair", "generation", "member"] = "auto"
    """Which members of a generation share start states: antithetic pairs, all of them, or none;
    auto is pair for methods with pairs. For others it is generation in environments, except in
    their own vector form, and member for objectives.
    """
    noise: Literal["auto", "on", "off"] = "auto"
    """Measure how much of the differences of fitness is noise (column reliability): a tenth of the
    members are evaluated twice; cma-es then adapts its population. auto does so for objectives that
    take a seed.
    """
    max_episode_steps: int | None = None
    """Cut episodes after this many steps."""
    rules: tuple[str, ...] = ()
    """Modules of corrective rules, with when(observation) and act(observation): they label
    demonstrations in imitation, and override the policy elsewhere.
    """
    episode_cap: int | None = None
    """Begin with training episodes of this many steps; the cap becomes twice the mean length once a
    tenth of the members reach it.
    """
    fresh_env: bool = False
    """Make a new environment for every episode, if reset does not clear all state."""
    env_backend: Literal["auto", "gymnasium", "compiled", "vectorized"] = "auto"
    """Step through gymnasium, in compiled code, or in the environment's own vector form; auto
    prefers compiled code.
    """
    lag: int = 0
    """Draw each generation from the state this many generations earlier than usual, so that workers
    begin it instead of waiting for the slowest member; for openai-es, ars, pgpe and snes.
    """

    def check(self) -> None:
        """Raises UserError for values out of range."""
        at_least(self, 1, "episodes_per_member", "max_episode_steps", "episode_cap")
        within(self, 0, 1, "member_quantile", way_out="0.5 is the median")
        finite(self, "survival_bonus")
        within(self, 0, MOST_LAG, "lag", way_out="0 waits for every member")


@dataclass(frozen=True)
class RewardSettings:
    """A learned reward to train on. Evaluations report the environment's own reward."""

    reward: Path | None = None
    """Train on this learned reward, a file or a run directory, instead of the environment's own
    reward.
    """
    environment_weight: float = 0.0
    """With --reward: add the environment's own reward times this."""
    potential: Path | None = None
    """Take this learned reward as a potential h(s), and add gamma h(s') - h(s) to the reward of
    training.
    """
    potential_discount: float = 1.0
    """Gamma of --potential; with 1 the order of policies can change only by where episodes begin
    and are cut.
    """

    def check(self) -> None:
        """Raises UserError for values out of range."""
        finite(self, "environment_weight")
        within(self, 0, 1, "potential_discount", ends="(]")


@dataclass(frozen=True)
class EvaluationSettings:
    """Evaluations of the policy, which training does not learn from."""

    eval_every: int = 10
    """Generations between evaluations of the policy; 0 evaluates only at the end."""
    eval_episodes: int = 10
    """Episodes of an evaluation, always from the same start states."""
    eval_seed: int | None = None
    """Seed of the start states of evaluations, the final one included; default --seed. Runs of
    different --seed that share it are compared on the same episodes.
    """
    final_episodes: int = 20
    """Episodes of the final evaluation, from start states that influenced no choice."""

    def check(self) -> None:
        """Raises UserError for values out of range."""
        at_least(self, 0, "eval_every", "eval_seed")
        at_least(self, 1, "eval_episodes", "final_episodes")


def env_arguments(texts: tuple[str, ...]) -> dict[str, Any]:
    """The keyword arguments of an environment from texts name=value. Raises UserError for any other
    text.
    """
    return named_values("--env-arg", texts, "forward_reward_weight=2.0")


def environment_of(
    env_id: str, arguments: tuple[str, ...], wrappers: tuple[str, ...]
) -> EnvironmentSpec:
    """The environment that flags name. Raises UserError for texts that name no arguments or
    wrappers.
    """
    return EnvironmentSpec(env_id, env_arguments(arguments), _env_wrappers(wrappers))


def _env_wrappers(texts: tuple[str, ...]) -> tuple[Wrapper, ...]:
    flag = "--env-wrapper"
    whole = tuple(text if "=" in text else f"{text}={{}}" for text in texts)
    named = named_values(flag, whole, 'RescaleAction={"min_action": -1, "max_action": 1}')
    try:
        return wrappers_from(list(named.items()))
    except ValueError as error:
        raise UserError(f"{flag}: {error}") from error


def flags_of_environment(environment: EnvironmentSpec) -> dict[str, Any]:
    """The settings that name an environment: the inverse of `environment_of`."""
    arguments = (f"{name}={text_of(value)}" for name, value in environment.arguments.items())
    wrappers = (f"{name}={text_of(value)}" for name, value in environment.wrappers)
    return {
        "env_id": environment.env_id,
        "env_arg": tuple(arguments),
        "env_wrapper": tuple(wrappers),
    }
