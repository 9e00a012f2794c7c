"""Sums over a Gaussian population: tiles of the matrix, few members, pairs and given points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from esengine.candidates import GaussianSamples
from esengine.noise import CounterNoise, Noise, create_table, kernels
from esengine.noise.product_sums import product_tile, product_tiles, transformed
from esengine.pool import Pool, RankState
from esengine.problems import ObjectiveProblem
from esengine.ranks import World


def first_column(x: np.ndarray) -> float:
    return float(x[0])


@pytest.mark.parametrize(("n", "population_size"), [(5, 40), (5, 7), (150, 320)])
@pytest.mark.parametrize(("mirrored", "num_injected"), [(False, 0), (True, 0), (False, 3)])
@pytest.mark.parametrize("source", ["table", "counter"])
def test_sums_are_those_over_the_dense_steps(
    n: int, population_size: int, mirrored: bool, num_injected: int, source: str
) -> None:
    noise: Noise = create_table(1, 16, n, None) if source == "table" else CounterNoise()
    random = np.random.default_rng(1)
    injected = random.standard_normal((num_injected, n)) if num_injected else None
    panels = kernels.pack_panels(random.standard_normal((n, n)))
    samples = GaussianSamples(
        7, 1, population_size, 0.5, np.ones(n), panels, mirrored=mirrored, injected=injected
    )
    pool = Pool(World(), RankState(noise, ObjectiveProblem(first_column, n), None))
    pool.evaluate(samples)
    population = pool.population()
    weights = random.standard_normal(population_size)
    counted = np.where(np.arange(population_size) < num_injected, 0, weights)
    members = np.arange(population_size)
    steps, normals = samples.steps(noise, members), samples.normals(noise, members)
    expected = (counted[:, None] * steps).T @ steps
    scale = np.abs(expected).max()
    np.testing.assert_allclose(population.covariance(weights), expected, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(
        population.weighted_noise(weights, np.float64), counted @ normals, atol=1e-10
    )
    np.testing.assert_allclose(
        population.squared_lengths(weights < 0), np.sum(normals[weights < 0] ** 2, axis=1)
    )
    np.testing.assert_allclose(
        population.row(0), np.ones(n) + 0.5 * steps[0] if injected is None else injected[0]
    )


def test_mirrored_members_stand_on_the_two_sides_of_the_mean() -> None:
    noise = create_table(1, 16, 6, None)
    samples = GaussianSamples(
        7, 1, 8, 0.5, np.ones(6), np.zeros((0, 6, kernels.PANEL)), mirrored=True
    )
    rows = samples.rows(noise, 0, 8)
    np.testing.assert_allclose(rows[::2] - 1, 1 - rows[1::2])
    assert np.unique(rows[::2]).size == 24


def test_an_unchanged_factor_does_not_travel_again() -> None:
    noise = create_table(1, 16, 6, None)
    first = GaussianSamples(
        7, 1, 8, 0.5, np.ones(6), kernels.pack_panels(np.eye(6)), lineage=4, factor=1
    )
    second = replace(first, generation=2, sigma=0.4)
    header, arrays = second.publish(first)
    assert "panels" not in arrays
    rebuilt = GaussianSamples.receive(header, arrays, first, noise)
    np.testing.assert_array_equal(rebuilt.rows(noise, 0, 8), second.rows(noise, 0, 8))
    for other in (
        replace(first, lineage=5),
        replace(first, factor=0),
        replace(first, generation=0),
        None,
    ):
        assert "panels" in second.publish(other)[1]


def test_tiles_cover_the_lower_half_and_depend_on_the_problem_alone() -> None:
    assert product_tile(10, 100) == 16
    assert product_tile(100, 10_000) == 112
    assert product_tile(100, 10**6) == 32
    assert product_tiles(300, 1000) == [
        (0, 0),
        (128, 0),
        (128, 128),
        (256, 0),
        (256, 128),
        (256, 256),
    ]


@pytest.mark.parametrize("lower", [False, True])
def test_transformed_products_are_symmetric_and_those_of_the_whole_matrix(lower: bool) -> None:
    random = np.random.default_rng(2)
    A, products = random.standard_normal((2, 150, 150))
    A, products = np.tril(A) if lower else A, products + products.T
    result = transformed(A, products, lower)
    np.testing.assert_allclose(
        result, A @ products @ A.T, rtol=0, atol=1e-11 * np.abs(result).max()
    )
    np.testing.assert_array_equal(result, result.T)
