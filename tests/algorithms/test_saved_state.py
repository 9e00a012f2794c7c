"""States as named attributes."""

from __future__ import annotations

import numpy as np
import pytest

from esengine.algorithms.saved_state import SavedState, with_prefix, without_prefix


class Part(SavedState):
    saved = ("values",)

    def __init__(self, values: list[float]) -> None:
        self.values = np.array(values)


class Whole(SavedState):
    saved = ("generation", "sigma", "_mean", "_extra", "part")
    varying_state = ("extra",)

    def __init__(self, generation: int, values: list[float]) -> None:
        self.generation = generation
        self.sigma = generation / 2
        self._mean = np.array(values)
        self._extra: np.ndarray | None = None
        self.part = Part(values)


def test_a_state_has_the_attributes_that_are_not_none() -> None:
    state = Whole(3, [1.0, 2.0]).state()
    assert sorted(state) == ["generation", "mean", "part/values", "sigma"]


def test_restoring_gives_numbers_as_numbers_and_arrays_as_copies() -> None:
    first, second = Whole(3, [1.0, 2.0]), Whole(0, [0.0])
    state = first.state()
    second.restore(state)
    state["mean"][:] = 9
    assert (type(second.generation), second.generation, second.sigma) == (int, 3, 1.5)
    np.testing.assert_array_equal(second._mean, [1, 2])
    np.testing.assert_array_equal(second.part.values, [1, 2])


def test_an_array_that_varies_may_come_and_go() -> None:
    with_extra, without = Whole(1, [1.0]), Whole(2, [1.0])
    with_extra._extra = np.arange(3)
    state = with_extra.state()
    with_extra.restore(without.state())
    assert with_extra._extra is None
    without.restore(state)
    np.testing.assert_array_equal(without._extra, [0, 1, 2])


def test_a_missing_array_is_refused() -> None:
    state = Whole(3, [1.0]).state()
    del state["mean"]
    with pytest.raises(KeyError, match="mean"):
        Whole(0, [0.0]).restore(state)


def test_prefixes_are_inverse() -> None:
    state = {"a": np.zeros(1), "b/c": np.ones(1)}
    assert without_prefix("part/", with_prefix("part/", state) | {"other": np.zeros(2)}) == state
