"""Streams: stable, distinct, and the same in Python and in compiled code."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from esengine.seeding import derive_key, derive_seed, derive_seeds, draw_unit, generator, normals

NUMBERS = st.integers(0, 2**62)


def test_keys_and_seeds_are_the_same_in_every_version() -> None:
    assert derive_key(0, "noise", 1) == 0xB5AD08E1AAE23A78
    assert derive_seed(5, 1, 2) == 0x6ACBB504CECB1482


@given(NUMBERS, NUMBERS)
def test_neighbouring_counters_give_unrelated_seeds(key: int, counter: int) -> None:
    seeds = {
        derive_seed(key),
        derive_seed(key + 1),
        derive_seed(key, counter),
        derive_seed(key, counter + 1),
    }
    seeds |= {
        derive_seed(key, counter, 0),
        derive_seed(key, counter, 1),
        derive_seed(key, 0, counter + 2),
    }
    assert len(seeds) == 7
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_purposes_and_generations_have_streams_of_their_own() -> None:
    keys = {
        derive_key(seed, purpose, g)
        for seed in range(20)
        for purpose in ("noise", "episode", "ties")
        for g in range(20)
    }
    assert len(keys) == 20 * 3 * 20


def test_compiled_draws_are_uniform() -> None:
    draws = np.array(
        [draw_unit(np.uint64(derive_key(0, "test")), np.uint64(i)) for i in range(100_000)]
    )
    assert draws.min() >= 0
    assert draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.015


def test_a_generator_depends_on_its_counters() -> None:
    assert generator(1, 2).random() == generator(1, 2).random()
    assert generator(1, 2).random() != generator(1, 3).random()


@given(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=4))
def test_seeds_of_many_are_the_upper_bits_of_each(key: int, groups: list[int]) -> None:
    seeds = derive_seeds(np.uint64(key), np.array(groups), 3)
    assert seeds.tolist() == [
        [derive_seed(key, group, i) >> 32 for i in range(3)] for group in groups
    ]


def test_seeds_of_user_code_are_of_31_bits() -> None:
    seeds = derive_seeds(np.uint64(derive_key(0, "episode", 1)), np.arange(10_000), 1)
    assert 2**31 * 0.99 < seeds.max() < 2**31
    np.random.RandomState(int(seeds.max()))


def test_normals_are_standard_and_do_not_depend_on_what_they_are_asked_with() -> None:
    draws = normals(np.uint64(3), np.arange(20_000))
    assert abs(draws.mean()) < 0.03
    assert abs(draws.std() - 1) < 0.02
    np.testing.assert_array_equal(draws[77:79], normals(np.uint64(3), np.array([77, 78])))
