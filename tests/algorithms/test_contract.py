"""The contract suite over every strategy, and what only some of them promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from esengine.algorithms import (
    ARSSettings,
    CMAESSettings,
    OpenAIESSettings,
    PGPESettings,
    SepCMAESSettings,
    SNESSettings,
    TruncationESSettings,
)
from esengine.algorithms.contract import Claim, Subject, checks
from esengine.launch.methods import METHODS, loop_of
from examples.hill_climb import HillClimbSettings

RANKED: frozenset[Claim] = frozenset({"order", "affine", "translation", "scale"})
TURNED: frozenset[Claim] = frozenset({"rotation"})
FLAT: frozenset[Claim] = frozenset({"flat"})
ANY, EVEN = (7, 1000, 100_000), (2, 8, 1000, 100_000)

SUBJECTS = {
    "truncation-es": Subject(TruncationESSettings(population_size=40, sigma=0.3), RANKED | TURNED, sizes=(5, *ANY)),
    "truncation-es self-adaptive": Subject(
        TruncationESSettings(population_size=40, sigma=0.3, self_adaptive=True, crossover=0.3), RANKED | TURNED, sizes=(5, 1000)
    ),
    "truncation-es weighted": Subject(
        TruncationESSettings(population_size=40, sigma=0.3, recombination="weighted"), RANKED | TURNED, sizes=(5, *ANY)
    ),
    "openai-es": Subject(OpenAIESSettings(population_size=40, sigma=0.3), RANKED | FLAT, sizes=EVEN),
    "openai-es clipup": Subject(
        OpenAIESSettings(population_size=40, sigma=0.3, optimizer="clipup", learning_rate=0.06),
        RANKED | TURNED | FLAT,
        ("sigma", "learning_rate"),
    ),
    "openai-es sgd": Subject(OpenAIESSettings(population_size=40, sigma=0.3, optimizer="sgd"), RANKED | TURNED | FLAT),
    "ars": Subject(
        ARSSettings(population_size=40, sigma=0.3, step_size=0.15),
        RANKED - {"order"} | TURNED | FLAT,
        ("sigma", "step_size"),
        EVEN,
    ),
    "pgpe": Subject(
        PGPESettings(population_size=40, sigma=0.3, learning_rate=0.06), RANKED | FLAT, ("sigma", "learning_rate"), EVEN
    ),
    "snes": Subject(SNESSettings(sigma=0.3), RANKED | FLAT, sizes=(2, *ANY)),
    "cma-es": Subject(CMAESSettings(sigma=0.3), RANKED, sizes=(4, *ANY)),
    "sep-cma-es": Subject(SepCMAESSettings(sigma=0.3), RANKED, sizes=(4, *ANY)),
    "a user's own": Subject(HillClimbSettings(population_size=20, sigma=0.3), RANKED | TURNED, sizes=(1, *ANY)),
}
CHECKS = {f"{name}: {what}": check for name, subject in SUBJECTS.items() for what, check in checks(subject).items()}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_every_strategy_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_every_method_is_a_subject() -> None:
    assert {method for method in METHODS if loop_of(method) is None} <= set(SUBJECTS)
