"""The contract suite over every strategy, and what only some of them promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esengine.algorithms import (
    ARSSettings,
    CMAESSettings,
    LMMAESSettings,
    OpenAIES,
    OpenAIESSettings,
    PGPESettings,
    SepCMAESSettings,
    SNESSettings,
    State,
    TruncationESSettings,
    VkDCMAESSettings,
    check_results,
)
from esengine.algorithms.evolution.pycma import PyCMASettings
from esengine.algorithms.novelty import Novelty
from esengine.algorithms.testing import Claim, Subject, checks
from esengine.candidates import Candidates
from esengine.launch.settings.methods import STRATEGIES, settings_of
from esengine.pool import Population
from examples.hill_climb import HillClimbSettings


@dataclass(frozen=True)
class NovelSettings(OpenAIESSettings):
    """OpenAI-ES that is told the mixed ranks of fitness and novelty; a member's behaviour is where
    it is.
    """

    def strategy(self, initial: NDArray[np.floating], seed: int) -> Any:
        return NovelSearch(self, initial, seed)


class NovelSearch(OpenAIES):
    def __init__(
        self, settings: OpenAIESSettings, initial: NDArray[np.floating], seed: int
    ) -> None:
        super().__init__(settings, initial, seed)
        self.novelty = Novelty("nsr", 10, initial.size)

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        own = np.array(self.parameters(), np.float64)
        behaviors = np.array(
            [population.row(member) for member in range(self.population_size)], np.float64
        )
        super().tell(candidates, self.novelty.fitness(fitness, behaviors, own), population)
        self.novelty.tell(own, 0.0)

    def state(self) -> State:
        return super().state() | {
            f"novelty/{name}": array for name, array in self.novelty.state().items()
        }

    def restore(self, state: State) -> None:
        super().restore(state)
        self.novelty.restore(
            {name[8:]: array for name, array in state.items() if name.startswith("novelty/")}
        )


RANKED: frozenset[Claim] = frozenset({"order", "affine", "translation", "scale"})
TURNED: frozenset[Claim] = frozenset({"rotation"})
FLAT: frozenset[Claim] = frozenset({"flat"})
ANY, EVEN = (7, 1000, 100_000), (2, 8, 1000, 100_000)

SUBJECTS = {
    "truncation-es": Subject(
        TruncationESSettings(population_size=40, sigma=0.3), RANKED | TURNED, sizes=(5, *ANY)
    ),
    "truncation-es self-adaptive": Subject(
        TruncationESSettings(population_size=40, sigma=0.3, self_adaptive=True, crossover=0.3),
        RANKED | TURNED,
        sizes=(5, *ANY),
    ),
    "truncation-es weighted": Subject(
        TruncationESSettings(population_size=40, sigma=0.3, recombination="weighted"),
        RANKED | TURNED | FLAT,
        sizes=(5, *ANY),
    ),
    "openai-es": Subject(
        OpenAIESSettings(population_size=40, sigma=0.3), RANKED | FLAT, sizes=EVEN
    ),
    "openai-es clipup": Subject(
        OpenAIESSettings(population_size=40, sigma=0.3, optimizer="clipup", learning_rate=0.06),
        RANKED | TURNED | FLAT,
        ("sigma", "learning_rate"),
        EVEN,
    ),
    "openai-es sgd": Subject(
        OpenAIESSettings(population_size=40, sigma=0.3, optimizer="sgd"),
        RANKED | TURNED | FLAT,
        sizes=EVEN[1:],
    ),
    "ars": Subject(
        ARSSettings(population_size=40, sigma=0.3, step_size=0.15),
        RANKED - {"order"} | TURNED | FLAT,
        ("sigma", "step_size"),
        EVEN,
    ),
    "pgpe": Subject(
        PGPESettings(population_size=40, sigma=0.3, learning_rate=0.06),
        RANKED | FLAT,
        ("sigma", "learning_rate"),
        EVEN,
    ),
    "snes": Subject(SNESSettings(sigma=0.3), RANKED | FLAT, sizes=(2, *ANY)),
    "cma-es": Subject(CMAESSettings(sigma=0.3), RANKED | FLAT, sizes=(4, *ANY)),
    "cma-es cholesky": Subject(
        CMAESSettings(sigma=0.3, factor="cholesky"), RANKED | FLAT, sizes=(4, 100_000)
    ),
    "cma-es mirrored": Subject(
        CMAESSettings(sigma=0.3, mirrored=True), RANKED | FLAT, sizes=(4, 100_000)
    ),
    "sep-cma-es": Subject(SepCMAESSettings(sigma=0.3), RANKED | FLAT, sizes=(4, *ANY)),
    "cma-es with restarts": Subject(
        CMAESSettings(sigma=0.3, restarts="bipop"), RANKED | FLAT, sizes=(4, 1000)
    ),
    "cma-es, searches at the same time": Subject(
        CMAESSettings(sigma=0.3, restarts="ipop", concurrent_searches=3), RANKED
    ),
    "cma-es that adapts its population": Subject(
        CMAESSettings(sigma=0.3, adapt_population="on"), RANKED | FLAT
    ),
    "cma-es with a surrogate": Subject(
        CMAESSettings(sigma=0.3, surrogate="lq"), frozenset({"affine", "translation", "scale"})
    ),
    "lm-ma-es": Subject(LMMAESSettings(sigma=0.3), RANKED | FLAT, sizes=(4, *ANY)),
    "vkd-cma-es": Subject(VkDCMAESSettings(sigma=0.3), RANKED | FLAT, sizes=(4, *ANY)),
    "pycma": Subject(PyCMASettings(sigma=0.3), RANKED | FLAT, sizes=(3, 1000, 100_000)),
    "openai-es beside novelty": Subject(
        NovelSettings(population_size=40, sigma=0.3), frozenset({"order", "affine", "scale"})
    ),
    "a user's own": Subject(
        HillClimbSettings(population_size=20, sigma=0.3), RANKED | TURNED, sizes=(1, *ANY)
    ),
}
for name in set(STRATEGIES) - set(SUBJECTS):
    SUBJECTS[name] = Subject(settings_of(name)(), RANKED | FLAT)
CHECKS = {
    f"{name}: {what}": check
    for name, subject in SUBJECTS.items()
    for what, check in checks(subject).items()
}
del CHECKS["openai-es beside novelty: members_that_tie_weigh_the_same"]  # novelty tells them apart


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_every_strategy_keeps_the_contract(check: Callable[[], None]) -> None:
    check()
