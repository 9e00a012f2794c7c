"""The ``cma`` package as a strategy, with its own options (Hansen, Akimoto, Baudis, doi
10.5281/zenodo.2559634).

The package samples on the master, and its members are sent as vectors, while our `cma_es` sends
addresses. Use it for features that only the package has, and for few parameters. It draws from
NumPy's global generator and saves its exact state only as a pickle. So we seed the global generator
for each call, from the run's seed and the generation. A state holds all fitness values told so far,
and a search is restored by telling them again.
"""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_coefficients import default_population_size
from esengine.algorithms.evolution.mean_search import DistributionSettings
from esengine.algorithms.evolution.ranking import is_flat
from esengine.algorithms.evolution.restarts import Restarts, RestartSettings
from esengine.algorithms.strategy import State, Strategy, check_results
from esengine.candidates import Candidates, GivenPoints
from esengine.checks import named_values
from esengine.errors import UserError, listed
from esengine.pool.population import Population
from esengine.problems.search_space import SearchSpace
from esengine.seeding import derive_key

_OURS = {
    "popsize": "--population-size",
    "popsize_factor": "--population-size",
    "seed": "--seed",
    "timeout": "--max-time",
    "maxfevals": "--max-evaluations",
    "maxiter": "--generations",
    "ftarget": "--target-return",
}
"""Options that a flag of every method sets."""
_ENDLESS = {"tolfun": 0, "tolfunhist": 0, "tolstagnation": 0, "tolflatfitness": 1_000_000_000}
"""Values of the package's criteria of fitness that never end a search."""
_FUNCTIONS = (
    "CMA_eigenmethod",
    "is_feasible",
    "randn",
    "termination_callback",
    "transformation",
    "vv",
)
_OUTPUT = ("verbose", "signals_filename")
"""Options for what the package prints, writes and reads, besides all that begin with verb_."""
_CLASSES = {
    "AdaptSigma": "sigma_adaptation",
    "BoundaryHandler": "boundary_handler",
    "CMA_sampler": "restricted_gaussian_sampler",
}
"""The module of the package that has an option's classes."""
_WORDS = {"CMA_elitist": ("initial",), "CMA_const_trace": ("arithm", "geom", "aeig", "geig")}
_PLACES = ("bounds", "fixed_variables", "integer_variables")
_QUIET = {
    "verbose": -10,
    "verb_disp": 0,
    "verb_log": 0,
    "verb_plot": 0,
    "signals_filename": None,
    "seed": math.nan,
}


@dataclass(frozen=True)
class PyCMASettings(DistributionSettings, RestartSettings):
    """Search with the cma package and any of its options; members are sent as vectors."""

    least_population: ClassVar[int] = 3

    restarts: Restarts = "none"
    """Restart the search when it ends: ipop doubles the population every time, bipop also runs
    small populations in between, and endless does that until a budget ends the run.
    """
    option: tuple[str, ...] = ()
    """Options of cma.CMAEvolutionStrategy, each name=value with a JSON value, such as
    CMA_diagonal=true tolfun=1e-9.
    """

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        self.check_restarts()
        self.options()

    def options(self) -> dict[str, Any]:
        """Return the options as the package takes them. Raises UserError for an unknown option, or
        one that a run cannot use.
        """
        given = named_values("--option", self.option, "CMA_diagonal=true")
        options = {name: _option(name, value) for name, value in given.items()}
        sampler = options.get("CMA_sampler")
        extend = getattr(sampler, "extend_cma_options", dict)  # options that a sampler needs
        return {**extend(), **options}

    def without_fitness(self) -> Self:
        """The same settings with the criteria of fitness off, except those that are set."""
        given = named_values("--option", self.option, "CMA_diagonal=true")
        unset = (f"{name}={value}" for name, value in _ENDLESS.items() if name not in given)
        return replace(self, option=(*self.option, *unset))

    def strategy(self, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return self.strategy_in(SearchSpace.free(initial.size), initial, seed)

    def strategy_in(self, space: SearchSpace, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy for a space; the package itself handles integer variables.

        Raises:
            UserError: both the options and the space define bounds or variables.
        """
        self.check()
        options = self.options()

        twice = [name for name in _PLACES if name in options]
        if twice and not space.is_free:
            raise UserError(
                f"--option {twice[0]} says where to search, and so do the flags for bounds and "
                f"variables; drop one"
            )

        lattice = space.lattice
        if lattice.indices.size:
            if (lattice.scales != 1).any():
                raise UserError(
                    "--variable-scales must be 1 for --integer-variables with pycma; use cma-es "
                    "for other units"
                )
            options["integer_variables"] = lattice.indices.tolist()

        size = self.population_size or default_population_size(initial.size)

        return self.search(partial(PyCMA, options), size, self.first_sigma, initial, seed)


class PyCMA:
    """One search of ``cma.CMAEvolutionStrategy``.

    Args:
        options: as the package takes them, without those that have flags.
        initial: (n,) the first mean.
        seed: the run's seed.
        population_size: lambda.
        sigma: the first step size.
        generation: number of generations of the run before this search.

    Raises:
        UserError: the package rejects the options.
    """

    def __init__(
        self,
        options: dict[str, Any],
        initial: NDArray[np.float64],
        seed: int,
        population_size: int,
        sigma: float,
        generation: int,
    ) -> None:
        self._options = options
        self.seed = seed
        self.population_size = population_size
        self._begin(initial, sigma, generation)

    def _begin(self, initial: NDArray[np.float64], sigma: float, generation: int) -> None:
        import cma

        self.generation = generation
        self._born = (np.array(initial, np.float64), sigma, generation)
        self._told: list[NDArray[np.float64]] = []  # costs of each generation
        self._points: list[NDArray[np.float64]] | None = None  # asked for and not yet told
        self._num_flat = 0  # generations in a row with flat fitness
        self._patience = 10 + int(30 * initial.size / self.population_size)
        self._ended: dict[str, Any] = {}

        start = initial
        if "bounds" in self._options:
            bounds = cma.boundary_handler.BoundTransform(self._options["bounds"])
            lower, upper = (bounds.get_bounds(end, initial.size) for end in ("lower", "upper"))
            start = np.clip(initial, lower, upper)
        with self._alone("begin"):
            every = {**self._options, **_QUIET, "popsize": self.population_size}
            self._search = cma.CMAEvolutionStrategy(start, sigma, every)

    @contextmanager
    def _alone(self, purpose: str) -> Iterator[None]:
        """Seed NumPy's global generator for one call of the package, and silence the package.

        Raises:
            UserError: the package raised, which its options cause.
        """
        key = derive_key(self.seed, f"pycma {purpose}", self.generation)
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed([key >> 32, key & 0xFFFFFFFF])  # noqa: NPY002
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                yield
        except Exception as error:
            given = [
                f"{name}={getattr(value, '__name__', value)}"
                for name, value in self._options.items()
            ]
            raise UserError(
                f"cma stopped with {type(error).__name__}: {error}; it was given "
                f"{listed(given) or 'no --option'}; change that"
            ) from error
        finally:
            np.random.set_state(before)  # noqa: NPY002

    def ask(self) -> GivenPoints:
        if self._points is None:
            with self._alone("ask"):
                self._points = self._search.ask()
        return GivenPoints(
            self.seed, self.generation + 1, self.population_size, np.array(self._points, np.float64)
        )

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        self.ask()

        # Failed members rank last, except if all others are equal: then nothing can be learned
        valid = np.isfinite(fitness)
        worst = -fitness[valid].min() if valid.any() else 0.0
        if valid.any() and not is_flat(fitness[valid]):
            worst = np.nextafter(worst, math.inf)
        self._tell(np.where(valid, -fitness, worst))

    def _tell(self, costs: NDArray[np.float64]) -> None:
        # The package would stop at the first flat generations, which sparse rewards begin with
        self._num_flat = self._num_flat + 1 if is_flat(costs) else 0
        if not 0 < self._num_flat <= self._patience:
            with self._alone("tell"):
                self._search.tell(self._points, costs.tolist())
                self._ended = dict(self._search.stop())
        self._told.append(costs)
        self._points = None
        self.generation += 1

    def should_stop(self) -> str | None:
        if not self._ended:
            return None
        return f"cma stopped by {listed(f'{name}={value}' for name, value in self._ended.items())}"

    def parameters(self) -> NDArray[np.floating]:
        return np.array(self._search.result.xfavorite, np.float64)

    def metrics(self) -> dict[str, float]:
        axes = np.asarray(self._search.D, np.float64)
        return {"sigma": float(self._search.sigma), "axis_ratio": float(axes.max() / axes.min())}

    def state(self) -> State:
        initial, sigma, born = self._born
        return {
            "initial": initial,
            "told": np.concatenate([np.zeros(0), *self._told]),
            "generation": np.array(self.generation),
            "population_size": np.array(self.population_size),
            "born": np.array(born),
            "sigma": np.array(sigma),
        }

    def restore(self, state: State) -> None:
        self.population_size = int(state["population_size"])
        told = state["told"].reshape(-1, self.population_size)
        self._begin(state["initial"], float(state["sigma"]), int(state["born"]))
        for costs in told:
            self.ask()
            self._tell(costs)
        missing = int(state["generation"]) - self.generation
        if missing:
            raise ValueError(f"{len(told)} generations were told, of {len(told) + missing}")


def _option(name: str, value: Any) -> Any:
    """Return an option's value as the package takes it. Raises UserError for an unknown option, or
    one that a run cannot use.
    """
    import cma

    known = cma.options_parameters.cma_default_options
    if name not in known:
        lower = {each.lower(): each for each in known}
        near = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)
        hint = 'python -c "import cma; print(cma.CMAOptions())" lists them'
        if near:
            hint = f"did you mean {listed(lower[match] for match in near)}?"
        raise UserError(f"--option must be an option of cma {cma.__version__}, got {name}; {hint}")
    if name in _OURS:
        raise UserError(f"--option {name} has a flag of its own, {_OURS[name]}; use that")
    if name in _OUTPUT or name.startswith("verb_"):
        raise UserError(
            f"--option {name} sets what cma prints, writes and reads, but a run keeps its own "
            f"records; drop it"
        )
    if name in _FUNCTIONS:
        raise UserError(f"--option {name} takes Python code, which text cannot give; drop it")
    if name in _CLASSES and isinstance(value, str):
        return _class(name, value)

    if name == "fixed_variables" and isinstance(value, dict):
        if not all(
            key.isdigit() and isinstance(number, int | float) for key, number in value.items()
        ):
            raise UserError(
                f"--option fixed_variables must map variables to numbers, got {value}; for "
                f'example {{"0": 1.5}}'
            )
        return {int(key): number for key, number in value.items()}

    if isinstance(value, str) and value not in _WORDS.get(name, ()):
        words = f", or one of {listed(_WORDS[name])}" if name in _WORDS else ""
        raise UserError(
            f"--option {name} must have a JSON value{words}, got {value!r:.60}; cma's default is "
            f"{known[name]}"
        )
    return value


def _class(name: str, value: str) -> type[Any]:
    """Return a class of the package by its name. Raises UserError for an unknown name."""
    import cma.restricted_gaussian_sampler

    module = getattr(cma, _CLASSES[name])
    bases = {
        "AdaptSigma": "CMAAdaptSigmaBase",
        "BoundaryHandler": "BoundaryHandlerBase",
        "CMA_sampler": "StatisticalModelSamplerWithZeroMeanBaseClass",
    }
    base = getattr(cma.interfaces if name == "CMA_sampler" else module, bases[name])
    classes = {
        each: kind
        for each, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, base)
    }
    if value not in classes:
        raise UserError(f"--option {name} must be one of {listed(sorted(classes))}, got {value}")
    return classes[value]
