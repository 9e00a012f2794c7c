"""The methods of ``esengine train`` by name. Their modules are imported when they are asked for.

A name with a colon is a user's own strategy, ``module:Class``, whose settings stand beside it as
``ClassSettings``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from esengine.checks import one_of
from esengine.errors import UserError, listed, pip_install

if TYPE_CHECKING:
    from esengine.algorithms.strategy import Settings


ALL = None
"""All settings of a group."""
Groups = Mapping[str, tuple[str, ...] | None]
"""Names of settings, or `ALL`, by the group in `esengine.launch.settings.train_settings.GROUPS`."""


@dataclass(frozen=True)
class Family:
    """Methods whose runs are made in the same way.

    Attributes:
        groups: the shared settings that they read; others are refused.
        needs_torch: whether they learn with PyTorch.
    """

    groups: Groups = field(hash=False)
    needs_torch: bool = True

    def reads(self, group: str, name: str) -> bool:
        """Whether a shared setting has a meaning for the methods."""
        names = self.groups.get(group, ())
        return names is ALL or name in names


_LEARNER: Groups = {
    "task": ("env_id", "env_arg", "env_wrapper"),
    "budget": ALL,
    "run": ("seed", "run_dir", "checkpoint_every", "keep_checkpoints"),
    "start": ALL,
    "policy": ALL,
    "initial_policy": ("init_policy",),
    "episode": ("max_episode_steps", "rules", "fresh_env", "env_backend"),
    "evaluation": ALL,
    "fault_tolerance": ("member_retries", "member_timeout", "respawn"),
    "member": ("isolate",),
}
_MEMBERS = ("episodes_per_member", "member_statistic", "member_quantile", "episode_seeds")

STRATEGY = Family(
    {
        **dict.fromkeys(_LEARNER, ALL),
        "reward": ALL,
        "novelty_search": ALL,
        "goal_curriculum": ALL,
        "objective_space": ALL,
        "member": ALL,
        "program": ALL,
    },
    needs_torch=False,
)
REPERTOIRE = Family(
    {
        **{name: names for name, names in STRATEGY.groups.items() if name != "goal_curriculum"},
        "novelty_search": ("behavior", "behavior_indices"),
    },
    needs_torch=False,
)
TRIALS = Family(
    {
        name: names
        for name, names in STRATEGY.groups.items()
        if name not in ("goal_curriculum", "novelty_search", "policy", "initial_policy")
    }
    | {"policy": ("normalize_observations",)},
    needs_torch=False,
)
IMITATION = Family(_LEARNER)
POLICY_GRADIENT = Family({**_LEARNER, "reward": ALL})
REWARD_LEARNING = Family(
    {
        **_LEARNER,
        "run": ALL,
        "fault_tolerance": ALL,
        "reward": ("environment_weight",),
        "episode": (*_MEMBERS, "max_episode_steps", "rules", "fresh_env", "env_backend"),
    }
)

_SETTINGS = {
    STRATEGY: {
        "truncation-es": "evolution.truncation_es:TruncationESSettings",
        "openai-es": "evolution.openai_es:OpenAIESSettings",
        "ars": "evolution.ars:ARSSettings",
        "pgpe": "evolution.pgpe:PGPESettings",
        "snes": "evolution.snes:SNESSettings",
        "cma-es": "evolution.cma_es:CMAESSettings",
        "sep-cma-es": "evolution.sep_cma_es:SepCMAESSettings",
        "lm-ma-es": "evolution.lm_ma_es:LMMAESSettings",
        "vkd-cma-es": "evolution.vkd_cma_es:VkDCMAESSettings",
        "pycma": "evolution.pycma:PyCMASettings",
    },
    REPERTOIRE: {
        "map-elites": "quality_diversity.map_elites:MapElitesSettings",
        "cma-me": "quality_diversity.cma_me:CMAMESettings",
        "cma-mae": "quality_diversity.cma_mae:CMAMAESettings",
    },
    TRIALS: {"trial-and-error": "quality_diversity.trial_and_error:TrialAndErrorSettings"},
    IMITATION: {
        "behavior-cloning": "imitation.behavior_cloning:BehaviorCloningSettings",
        "dagger": "imitation.dagger:DAggerSettings",
        "dart": "imitation.dart:DARTSettings",
        "plato": "imitation.plato:PLATOSettings",
        "guided-policy-search": "imitation.guided_policy_search:GuidedPolicySearchSettings",
        "pets": "models.pets:PETSSettings",
    },
    POLICY_GRADIENT: {"ppo": "policy_gradient.ppo:PPOSettings"},
    REWARD_LEARNING: {
        "gail": "inverse_rl.settings:GAILSettings",
        "airl": "inverse_rl.settings:AIRLSettings",
        "inverse-rl": "inverse_rl.settings:InverseRLSettings",
    },
}
METHODS = {name: family for family, methods in _SETTINGS.items() for name in methods}
"""The family of every method by name."""
STRATEGIES = tuple(_SETTINGS[STRATEGY])


def family_of(method: str) -> Family:
    """The family of a method; a custom one, module:Class, is a strategy."""
    return METHODS.get(method, STRATEGY)


def train_usage() -> str:
    """The help of ``esengine train``, before a method is chosen."""
    return (
        f"usage: esengine train METHOD ...\n"
        f"       esengine train --strategy module:Class ...\n\n"
        f"METHOD is one of: {listed(METHODS)}; or auto, which chooses for an objective\n\n"
        f"esengine train METHOD --help lists the usual flags, --help-all lists all. train METHOD "
        f"--config FILE reads flags from a TOML file."
    )


def check_torch(method: str) -> None:
    """Raises UserError if a method learns with PyTorch, and there is none."""
    if family_of(method).needs_torch and find_spec("torch") is None:
        raise UserError(
            f"{method} needs PyTorch, which is not installed; {pip_install('torch')} "
            f"(docs/install.md lists small builds)"
        )


def defaults_of(method: str) -> dict[str, Any]:
    """The shared settings' defaults that are a method's own."""
    return dict(getattr(settings_of(method), "defaults", {}))


def settings_of(method: str) -> type[Settings]:
    """The settings class of a method. Raises UserError for an unknown one, with the known ones."""
    if ":" in method:
        return _settings_of_strategy(method)
    is_environment = re.search(r"-v\d+$", method) is not None
    way_out = (
        "name a method first, then its environment"
        if is_environment
        else "see esengine train --help"
    )
    one_of("the method", method, METHODS, way_out)
    module, _, name = _SETTINGS[METHODS[method]][method].partition(":")
    kind: type[Settings] = getattr(import_module(f"esengine.algorithms.{module}"), name)
    return kind


def _settings_of_strategy(name: str) -> type[Settings]:
    """The settings beside a user's own strategy. Raises UserError for one that ``esengine train``
    cannot run.
    """
    from esengine.user_code import named_callable

    strategy = named_callable("--strategy", name, "mypackage.search:HillClimb", "Class")
    module = import_module(name.partition(":")[0])
    beside = f"{strategy.__name__}Settings"
    settings: Any = getattr(module, beside, None)
    if not (is_dataclass(settings) and isinstance(settings, type)):
        raise UserError(
            f"--strategy {name} needs a frozen dataclass {beside} beside it, got none; its fields "
            f"become flags"
        )
    missing = [
        member for member in ("antithetic", "check", "strategy") if not hasattr(settings, member)
    ]
    if missing:
        raise UserError(
            f"{beside} must have antithetic, check and strategy, lacks {listed(missing)}; see "
            f"docs/strategies.md"
        )
    bare = [
        each.name
        for each in fields(settings)
        if each.default is MISSING and each.default_factory is MISSING
    ]
    if bare:
        raise UserError(
            f"every field of {beside} must have a default, got none for {listed(bare)}; add one"
        )
    return settings  # type: ignore[return-value]
