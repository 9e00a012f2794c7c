"""Corrective rules: the right action in some situations, hard-coded in a module.

A rule is a module with ``when(observation) -> bool`` and ``act(observation) -> action``. Of
several, the first that fires wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from esengine.errors import UserError
from esengine.user_code import named_module, own_copy


@dataclass(frozen=True)
class Rules:
    """Rules in order of precedence. As an expert they label the states in which one of them fires.

    Attributes:
        rules: their modules.
    """

    rules: tuple[Any, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    def correction(self, observation: Any) -> Any | None:
        """The action of the first rule that fires, or None."""
        if self.rules:
            observation = own_copy(observation)
        for rule in self.rules:
            if rule.when(observation):
                return own_copy(rule.act(observation))
        return None


def load_rules(names: Sequence[str]) -> Rules:
    """The rules of modules.

    Raises:
        UserError: a module cannot be imported, or lacks one of the two functions.
    """
    rules = []
    for name in names:
        module = named_module("--rules", name)
        for function in ("when", "act"):
            if not callable(getattr(module, function, None)):
                raise UserError(
                    f"--rules {name} must define when(observation) and act(observation), lacks "
                    f"{function}"
                )

        rules.append(module)
    return Rules(tuple(rules))
