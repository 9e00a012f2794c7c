"""VkD-CMA-ES against dense matrices, a rotated problem, and how many directions it takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from esengine.algorithms import VkDCMAES, VkDCMAESSettings
from esengine.algorithms.evolution.direction_count import DirectionCount
from esengine.algorithms.evolution.restricted_covariance import RestrictedCovariance
from esengine.noise import create_table
from esengine.pool import Pool, RankState
from esengine.problems import ObjectiveProblem
from esengine.ranks import World
from esengine.seeding import derive_key, generator

N = 15
NOISE = create_table(0, 18, 64, None)
AXES = np.linalg.qr(np.random.default_rng(0).standard_normal((100, 100)))[0]


def cigar(x: np.ndarray) -> float:
    y = AXES[: x.size, : x.size] @ x
    return float(y[0] ** 2 + 1e6 * np.sum(y[1:] ** 2))


def ellipsoid(x: np.ndarray) -> float:
    return float(np.sum(10 ** (6 * np.arange(x.size) / (x.size - 1)) * x**2))


def advance(strategy: VkDCMAES, function: Callable[[np.ndarray], float], generations: int) -> None:
    problem = ObjectiveProblem(function, strategy.mean.size, minimize=True)
    pool = Pool(World(), RankState(NOISE, problem, None))
    for _ in range(generations):
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())


class DenseTwin:
    """The paper's update with an n x n matrix and plain NumPy.

    Attributes:
        k: number of directions.
        V: (k, n) rows of length sqrt(S).
    """

    def __init__(self, mean: np.ndarray, size: int, k: int) -> None:
        self.size = size
        self.k = k
        self.mean = mean
        self.sigma = 1.0
        self.generation = 0
        self.D = np.ones(mean.size)
        self.V = np.zeros((0, mean.size))
        self.p_c = np.zeros(mean.size)
        self.y_w = np.zeros(mean.size)
        self.s = 0.0
        raw = np.maximum(0, np.log((size + 1) / 2) - np.log(np.arange(1, size + 1)))
        self.weights = raw / raw.sum()

    def root(self) -> np.ndarray:
        """(I + V^T V)^(1/2)."""
        values, vectors = np.linalg.eigh(np.eye(self.mean.size) + self.V.T @ self.V)
        return np.asarray((vectors * np.sqrt(values)) @ vectors.T)

    def step(self, function: Callable[[np.ndarray], float]) -> None:
        n = self.mean.size
        self.generation += 1
        z = np.empty((self.size, n))
        NOISE.read_rows(NOISE.starts(7, self.generation, np.arange(self.size)), 0, z)
        if self.y_w.any():
            u = np.linalg.solve(self.root(), self.y_w / self.D)
            chi2 = generator(derive_key(7, "probe", self.generation)).chisquare(n)
            z[0] = u * np.sqrt(chi2) / np.linalg.norm(u)
            z[1] = -z[0]

        y = self.D * (z @ self.root())
        order = np.argsort([function(self.mean + self.sigma * row) for row in y])
        if self.y_w.any():
            ranks = np.argsort(order)
            self.s += 0.3 * ((ranks[1] - ranks[0]) / (self.size - 1) - self.s)
            self.sigma_next = self.sigma * np.exp(self.s / (4 - 3 / n))
        else:
            self.sigma_next = self.sigma
        w = self.weights
        mu_eff = 1 / np.sum(w**2)
        self.y_w = w @ y[order]
        self.mean = self.mean + self.sigma * self.y_w
        self.sigma = self.sigma_next

        c_1 = 2 / (n * (self.k + 2) + 2 * (self.k + 2) + mu_eff)
        c_mu = min(
            1 - c_1, 2 * (mu_eff - 2 + 1 / mu_eff) / (n * (self.k + 1) + 4 * (self.k + 2) + mu_eff)
        )
        c_c = np.sqrt(c_1)
        h = self.s < 0.5
        self.p_c = (1 - c_c) * self.p_c + h * np.sqrt(c_c * (2 - c_c) * mu_eff) * self.y_w
        alpha2 = 1 - c_mu - c_1 + c_1 * (1 - h) * c_c * (2 - c_c)
        U = np.concatenate(
            [
                np.sqrt(alpha2) * self.V,
                np.sqrt(c_mu * w)[:, None] * y[order] / self.D,
                np.sqrt(c_1) * self.p_c[None] / self.D,
            ]
        )
        learned = U.T @ U
        values, vectors = np.linalg.eigh(learned)
        rest = np.sum(values[: n - self.k]) / (n - self.k)
        beta = alpha2 + rest
        longest = slice(n - self.k, None)
        self.V = np.sqrt((values[longest] - rest) / beta)[:, None] * vectors[:, longest].T
        self.D = self.D * np.sqrt((alpha2 + np.diag(learned)) / (1 + np.sum(self.V**2, axis=0)))
        scale = np.linalg.det(self.matrix()) ** (1 / (2 * n))
        self.D = self.D / scale
        self.p_c = self.p_c / scale

    def matrix(self) -> np.ndarray:
        return np.asarray(self.D[:, None] * (np.eye(self.mean.size) + self.V.T @ self.V) * self.D)


@pytest.mark.parametrize("size", [8, 60])
@pytest.mark.parametrize("k", [0, 2])
def test_a_generation_is_that_of_dense_matrices(size: int, k: int) -> None:
    """Both ways to find the axes, from members' products and from the matrix."""
    start = np.linspace(1, 2, N)
    ours = VkDCMAES(VkDCMAESSettings(population_size=size), start, 7)
    ours.directions.k = k
    twin = DenseTwin(start, size, k)
    for _ in range(12):
        advance(ours, cigar, 1)
        twin.step(cigar)
        matrix = ours.matrix
        own = matrix.D[:, None] * (np.eye(N) + (matrix.V.T * matrix.S) @ matrix.V) * matrix.D
        np.testing.assert_allclose(own, twin.matrix(), rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(ours.mean, twin.mean, rtol=1e-8)
        np.testing.assert_allclose(ours.p_c, twin.p_c, rtol=1e-8, atol=1e-10)
        assert ours.sigma == pytest.approx(twin.sigma, rel=1e-9)
    assert ours.metrics()["directions"] == k


def test_a_long_axis_of_a_hundred_parameters_is_found() -> None:
    start = np.random.default_rng(1).standard_normal(100)
    strategy = VkDCMAES(VkDCMAESSettings(), start, 0)
    advance(strategy, cigar, 1300)  # 22,100 evaluations
    assert cigar(strategy.mean) < 1e-4
    assert strategy.metrics()["directions"] == 1


def test_a_function_of_one_variable_at_a_time_needs_no_directions() -> None:
    strategy = VkDCMAES(VkDCMAESSettings(), np.ones(40), 0)
    advance(strategy, ellipsoid, 600)
    assert ellipsoid(strategy.mean) < 1e-4
    assert strategy.metrics()["directions"] == 0


def test_a_direction_that_is_short_and_shrinks_is_given_up() -> None:
    count = DirectionCount(10, 10, 0.0)
    count.k = 2
    lengths = np.array([100.0, 5.0])
    for _ in range(60):
        lengths = lengths * [1.0, 0.99]
        count.remember(0.0, np.zeros(10), lengths)
        keep = count.adapt(lengths, 0.1)
        if not keep.all():
            break
    assert keep.tolist() == [True, False]
    assert count.k == 1


def test_directions_are_added_once_all_are_long_and_the_distribution_has_settled() -> None:
    count = DirectionCount(10, 10, 0.0)
    added: list[int] = []
    for generation in range(100):
        lengths = np.full(count.k, 100.0)
        count.remember(0.0, np.zeros(10), lengths)
        before = count.k
        count.adapt(lengths, 0.1)
        if count.k > before:
            added.append(generation)
    assert added[0] == 19
    assert count.k >= 3


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_parameters_are_searched_as_well(n: int) -> None:
    strategy = VkDCMAES(VkDCMAESSettings(), np.full(n, 2.0), 0)
    advance(strategy, lambda x: float(np.sum(x**2)), 120)
    assert np.abs(strategy.mean).max() < 1e-3


def test_roots_of_a_restricted_matrix_are_inverses() -> None:
    matrix = RestrictedCovariance(5)
    matrix.V = AXES[:2, :5] / np.linalg.norm(AXES[:2, :5], axis=1, keepdims=True)
    matrix.V[1] -= matrix.V[1] @ matrix.V[0] * matrix.V[0]
    matrix.V[1] /= np.linalg.norm(matrix.V[1])
    matrix.S = np.array([1e4, 3.0])
    z = np.arange(5.0)
    np.testing.assert_allclose(matrix.whitened(matrix.stretched(z)), z, atol=1e-12)
