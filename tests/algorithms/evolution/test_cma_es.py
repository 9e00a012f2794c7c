"""CMA-ES against the ``cma`` package, coefficient by coefficient and step by step."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esengine.algorithms.evolution import cma_es
from esengine.algorithms.evolution.cma_coefficients import Coefficients, expected_length
from esengine.algorithms.evolution.cma_es import CMAES, CMAESSettings
from esengine.algorithms.evolution.matrix_square_roots import cholesky_factor, square_root
from esengine.algorithms.evolution.ranking import by_pair
from esengine.algorithms.trial_runs import pool_for as contract_pool
from esengine.candidates import chunk_size, chunks
from esengine.errors import UserError
from esengine.noise import create_table
from esengine.pool import Pool, RankState
from esengine.problems import ObjectiveProblem
from esengine.ranks import World
from esengine.storage import Checkpoint, save_checkpoint

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cma

NOISE = create_table(0, 20, 256, None)


def reference(n: int, population_size: int, sigma: float, start: float = 0.0) -> Any:
    options = {"popsize": population_size, "verbose": -9, "seed": 1, "CMA_active": True}
    return cma.CMAEvolutionStrategy(np.full(n, start), sigma, options)


@pytest.mark.parametrize(
    ("n", "population_size"),
    [(2, 4), (3, 5), (5, 8), (10, 10), (20, 12), (20, 200), (40, 1600), (100, 17)],
)
def test_coefficients_are_those_of_cma(n: int, population_size: int) -> None:
    ours = Coefficients.default(n, population_size, active=True)
    es = reference(n, population_size, 1.0)
    es.adapt_sigma.initialize(es)
    np.testing.assert_allclose(ours.weights, np.asarray(es.sp.weights), rtol=1e-12)
    np.testing.assert_allclose(ours.mu_eff, es.sp.weights.mueff, rtol=1e-12)
    rates = es.sm.parameters(mueff=es.sp.weights.mueff, lam=population_size)
    np.testing.assert_allclose((ours.c_1, ours.c_mu), (rates["c1"], rates["cmu"]), rtol=1e-12)
    np.testing.assert_allclose(ours.c_c, es.sp.cc, rtol=1e-12)
    np.testing.assert_allclose(
        (ours.c_sigma, ours.d_sigma), (es.adapt_sigma.cs, es.adapt_sigma.damps), rtol=1e-12
    )


def test_without_active_weights_only_the_better_half_counts() -> None:
    ours = Coefficients.default(10, 20, active=False)
    assert (ours.weights[:10] > 0).all()
    assert (ours.weights[10:] == 0).all()


@pytest.mark.parametrize("n", [2, 10, 100])
def test_expected_length_is_the_mean_length_of_normal_vectors(n: int) -> None:
    lengths = np.linalg.norm(np.random.default_rng(0).standard_normal((100_000, n)), axis=1)
    assert expected_length(n) == pytest.approx(lengths.mean(), rel=5e-3)


def ellipsoid(x: np.ndarray) -> float:
    return float(np.sum(10 ** (6 * np.arange(x.size) / (x.size - 1)) * (x - 1) ** 2))


@pytest.mark.parametrize(
    ("n", "population_size", "generations"), [(5, 8, 12), (20, 12, 10), (10, 60, 10)]
)
def test_steps_are_those_of_cma_on_the_same_samples(
    n: int, population_size: int, generations: int
) -> None:
    ours = CMAES(CMAESSettings(population_size=population_size, sigma=0.7), np.zeros(n), 0)
    pool = Pool(World(), RankState(NOISE, ObjectiveProblem(ellipsoid, n, minimize=True), None))
    theirs = reference(n, population_size, 0.7)
    theirs.sm.C, theirs.sm.B, theirs.sm.D = (
        np.eye(n),
        np.eye(n),
        np.ones(n),
    )  # cma shakes its first C by 1e-4
    for _ in range(generations):
        candidates = ours.ask()
        bounds = chunks(population_size, chunk_size(population_size))
        rows = np.concatenate([candidates.rows(NOISE, *bound) for bound in bounds])
        fitness = pool.evaluate(candidates).fitness
        ours.tell(candidates, fitness, pool.population())
        theirs.ask()  # advances its lazy decomposition; its own samples are not used
        theirs.tell(
            [row.copy() for row in rows], list(-fitness), check_points=False
        )  # or it shortens long steps
        theirs.sm.update_now()
        np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-10, atol=1e-12)
        assert ours.sigma == pytest.approx(theirs.sigma, rel=1e-10)
        np.testing.assert_allclose(ours.C, theirs.sm.covariance_matrix, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(ours.p_c, theirs.pc, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(ours.D**2, np.linalg.eigvalsh(ours.C), rtol=1e-9)


def test_the_worst_ellipsoid_is_minimised_to_1e_9() -> None:
    ours = CMAES(CMAESSettings(), np.zeros(20), 0)
    pool = Pool(World(), RankState(NOISE, ObjectiveProblem(ellipsoid, 20, minimize=True), None))
    while ours.should_stop() is None:
        candidates = ours.ask()
        ours.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    assert ellipsoid(ours.parameters()) < 1e-9
    assert ours.generation * ours.population_size < 20_000


class Rotated:
    """The ellipsoid seen in another basis."""

    def __init__(self, view: np.ndarray) -> None:
        self.view = view

    def __call__(self, x: np.ndarray) -> float:
        return ellipsoid(self.view @ x)


def test_rotating_the_space_changes_nothing_but_the_view() -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))
    values = []
    for view in (np.eye(6), rotation):
        ours = CMAES(CMAESSettings(population_size=30), view.T @ np.full(6, 2.0), 3)
        ours.restore({**ours.state(), "A": view.T.copy()})  # the first samples are rotated too
        pool = Pool(
            World(), RankState(NOISE, ObjectiveProblem(Rotated(view), 6, minimize=True), None)
        )
        candidates = ours.ask()
        values.append(np.sort(pool.evaluate(candidates).fitness))
        ours.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
        values.append(view @ ours.mean)
    np.testing.assert_allclose(values[0], values[2], rtol=1e-9)
    np.testing.assert_allclose(values[1], values[3], rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sigma": -1.0}, "--sigma must be positive, got -1.0"),
        ({"sigma": float("nan")}, "--sigma must be positive"),
        ({"population_size": 3}, "--population-size must be at least 4"),
        ({"tolerance_fun": -1.0}, "--tolerance-fun must be at least 0, got -1.0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        CMAES(CMAESSettings(**settings), np.zeros(3), 0)


def test_a_flat_function_ends_the_search_with_the_reason() -> None:
    ours = CMAES(CMAESSettings(), np.zeros(4), 0)
    pool = Pool(World(), RankState(NOISE, ObjectiveProblem(lambda x: 1.0, 4), None))
    while ours.should_stop() is None and ours.generation < 200:
        candidates = ours.ask()
        ours.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    assert "--tolerance-fun" in str(ours.should_stop())


def run(settings: CMAESSettings, start: np.ndarray, cost: Any = ellipsoid, most: int = 3000) -> Any:
    """A search until it stops; its strategy."""
    strategy = settings.strategy(start, 0)
    pool = Pool(World(), RankState(NOISE, ObjectiveProblem(cost, start.size, minimize=True), None))
    while strategy.should_stop() is None and strategy.generation < most:
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    return strategy


@pytest.mark.parametrize(
    "settings", [CMAESSettings(factor="cholesky"), CMAESSettings(mirrored=True)]
)
def test_the_variants_minimise_the_ellipsoid_within_the_defaults_evaluations(
    settings: CMAESSettings,
) -> None:
    strategy = run(settings, np.zeros(10))
    assert ellipsoid(strategy.parameters()) < 1e-9
    assert strategy.generation * strategy.population_size < 9000


@pytest.mark.parametrize("n", [3, 200])
def test_a_covariance_has_a_triangular_root_while_it_is_definite_and_else_one_of_its_eigenbasis(
    n: int,
) -> None:
    normals = np.random.default_rng(n).standard_normal((n, n))
    C = normals @ normals.T + np.diag(10.0 ** np.linspace(-6, 6, n))
    A = cholesky_factor(C)
    np.testing.assert_array_equal(A, np.tril(A))
    np.testing.assert_allclose(A @ A.T, C, rtol=1e-10, atol=1e-9)
    C[-1, -1] = (
        C[-1, :-1] @ np.linalg.solve(C[:-1, :-1], C[:-1, -1]) - 1e-6
    )  # a little less than definite
    root, triangular = square_root(C, None)
    assert not triangular
    np.testing.assert_allclose(root @ root.T, C, rtol=1e-10, atol=1e-5)


def test_in_a_mirrored_population_a_pair_counts_once() -> None:
    weights = np.array([0.6, 0.4, -0.2, -0.8])
    np.testing.assert_allclose(
        by_pair(np.array([3.0, 9.0, 5.0, 4.0]), weights), [-0.8, 0.6, 0.4, -0.2]
    )
    np.testing.assert_allclose(by_pair(np.ones(4), weights), 0.0, atol=1e-15)


def test_an_injected_point_becomes_a_member_and_moves_the_mean_towards_it() -> None:
    strategy = CMAES(CMAESSettings(sigma=0.1), np.full(5, 3.0), 0)
    strategy.inject(np.ones((1, 5)))
    pool = Pool(World(), RankState(NOISE, ObjectiveProblem(ellipsoid, 5, minimize=True), None))
    candidates = strategy.ask()
    fitness = pool.evaluate(candidates).fitness
    assert fitness[0] == 0
    strategy.tell(candidates, fitness, pool.population())
    assert np.linalg.norm(strategy.mean - 1) < np.linalg.norm(np.full(5, 2.0))
    assert strategy.ask().injected is None
    with pytest.raises(ValueError, match="points must have shape"):
        strategy.inject(np.ones((1, 4)))


def test_points_and_a_distribution_are_taken_from_files(tmp_path: Path) -> None:
    points = tmp_path / "points.npy"
    np.save(points, np.ones((2, 5)))
    assert CMAES(CMAESSettings(inject=str(points)), np.zeros(5), 0).ask().num_injected == 2
    earlier = CMAES(CMAESSettings(), np.zeros(5), 0)
    earlier.C = np.diag(np.arange(1.0, 6))
    arrays = {
        f"strategy/{name}": array
        for name, array in {**earlier.state(), "sigma": np.array(0.3)}.items()
    }
    save_checkpoint(tmp_path / "checkpoints", Checkpoint(1, arrays, {}), 1)
    warm = CMAES(CMAESSettings(warm_start=str(tmp_path)), np.full(5, 7.0), 0)
    assert warm.sigma == 0.3
    np.testing.assert_allclose(np.sort(warm.D**2), np.arange(1.0, 6))
    np.testing.assert_array_equal(warm.mean, np.zeros(5))
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"inject": str(tmp_path / "none.npy")}, "--inject must be a .npy file"),
        ({"inject": str(points)}, "--inject must hold finite points of 4 numbers"),
        ({"warm_start": str(points)}, "--warm-start must be a run directory"),
        ({"warm_start": str(tmp_path)}, "--warm-start must have 4 parameters"),
    )
    for settings, words in cases:
        with pytest.raises(UserError, match=words):
            CMAES(CMAESSettings(**settings), np.zeros(4), 0)


def test_a_matrix_that_is_replaced_every_generation_keeps_its_scale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the scale moves between sigma and C, by powers of 2: the search is the same bit for
    bit.
    """

    def rosenbrock(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        value: NDArray[np.float64] = -np.sum(
            100 * (rows[:, 1:] - rows[:, :-1] ** 2) ** 2 + (1 - rows[:, :-1]) ** 2, axis=1
        )
        return value

    found = []
    for smallest in (cma_es._SMALLEST_AXIS, 0.0):
        monkeypatch.setattr(cma_es, "_SMALLEST_AXIS", smallest)
        strategy = CMAES(CMAESSettings(population_size=2000), np.full(10, 3.0), 0)
        largest = 0.0
        pool = contract_pool(rosenbrock)
        for _ in range(60):
            candidates = strategy.ask()
            strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
            largest = max(largest, strategy.sigma)
        found.append((largest, strategy.mean, strategy.sigma**2 * strategy.C))
    assert found[0][0] < 100 < 10_000 < found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])
    np.testing.assert_array_equal(found[0][2], found[1][2])
