"""The archive of elites, its thresholds, and what emitters are told."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from esengine.algorithms.quality_diversity.archive import EliteArchive
from esengine.algorithms.quality_diversity.emitters import Added, by_stage
from esengine.algorithms.quality_diversity.map_elites import MapElitesSettings
from esengine.algorithms.quality_diversity.thresholds import Thresholds
from esengine.errors import UserError

SETTINGS = MapElitesSettings(
    measure_ranges=(0.0, 1.0, 0.0, 1.0), cells=(4, 4), least_fitness=-1.0, reevaluate=2
)
ROWS = np.arange(12.0).reshape(6, 2)
MEASURES = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.2], [0.1, 0.9], [0.1, 0.9], [7.0, 7.0]])
FITNESS = np.array([1.0, 2.0, 3.0, 4.0, 4.0, 0.5])


def archive_of(settings: MapElitesSettings = SETTINGS) -> EliteArchive:
    archive = EliteArchive(settings, 2, np.dtype(np.float64), seed=0)
    archive.add(1, np.arange(6), FITNESS, MEASURES, lambda members: ROWS[members])
    return archive


def test_the_best_of_a_cell_stays_and_of_equal_ones_the_first() -> None:
    archive = archive_of()
    assert archive.cells.tolist() == [0, 3, 12, 15]  # beyond the ranges is the outermost cell
    assert archive.fitness.tolist() == [1.0, 4.0, 3.0, 0.5]
    np.testing.assert_array_equal(archive.rows[archive.cells], ROWS[[0, 3, 2, 5]])
    row = archive.metrics()
    assert (row["elites"], row["coverage"], row["qd_score"]) == (4, 0.25, 12.5)

    status, improvement = archive.add(
        2, np.array([1, 4]), np.array([0.0, 5.0]), MEASURES[[0, 1]], lambda members: ROWS[members]
    )
    assert (status.tolist(), improvement.tolist()) == ([0, 1], [-1.0, 2.0])
    np.testing.assert_array_equal(archive.rows[12], ROWS[4])


def test_a_lucky_elite_loses_its_cell_and_the_corrected_score_leaves_its_luck_out() -> None:
    archive = archive_of()
    assert archive.least_evaluated(2).tolist() == [0, 3]
    archive.correct(np.array([0, 3]), np.array([3.0, -6.0]), np.array([[0.1, 0.1], [0.9, 0.9]]))
    # the means: 2 in cell 0, and -1 in cell 11; cell 3 is empty
    assert archive.cells.tolist() == [0, 11, 12, 15]
    assert archive.fitness.tolist() == [2.0, -1.0, 3.0, 0.5]
    assert archive.counts[archive.cells].tolist() == [1, 1, 0, 0]
    assert archive.least_evaluated(2).tolist() == [12, 15]
    # by later evaluations alone: 3.0 in cell 0, and -6.0 in cell 15, which another one holds
    count, score = archive.corrected()
    assert (count, score) == (3, 9.5)

    archive.correct(np.array([12]), np.array([-math.inf]), np.array([[math.nan, 0.0]]))
    assert archive.cells.tolist() == [0, 11, 15]


@pytest.mark.parametrize("kind", ["grid", "cvt"])
def test_an_archive_is_restored_bit_for_bit(kind: Any) -> None:
    settings = replace(SETTINGS, archive=kind, cells=(4, 4) if kind == "grid" else (16,))
    archive = archive_of(settings)
    archive.correct(np.array(archive.cells[:1]), np.array([0.7]), np.array([[0.15, 0.1]]))
    other = EliteArchive(settings, 2, np.dtype(np.float64), seed=1)  # other centroids
    other.restore({name: np.array(array) for name, array in archive.state().items()})
    assert other.state().keys() == archive.state().keys()
    for name, array in archive.state().items():
        np.testing.assert_array_equal(other.state()[name], array)
    assert other.metrics() == archive.metrics()
    with pytest.raises(ValueError, match="different lengths"):
        other.restore(archive.state() | {"rows": ROWS[:1]})


def test_thresholds_rise_by_the_batch_rule() -> None:
    thresholds = Thresholds(2, -1.0, 0.25)
    improvement = thresholds.tell(np.array([0, 0, 0]), np.array([3.0, 1.0, -2.0]))
    assert improvement.tolist() == [4.0, 2.0, -1.0]
    kept = 0.75**2
    np.testing.assert_allclose(thresholds.values, [kept * -1 + (1 - kept) * 2, -1.0])


def test_new_cells_rank_before_better_elites_before_all_others() -> None:
    status = np.array([0, 2, 1, 2, 1, 0, 0], np.int32)
    improvement = np.array([-3.0, -5.0, 9.0, 1.0, 9.0, -1.0, -math.inf])
    assert by_stage(Added(status, improvement)).tolist() == [1, 4, 3, 5, 3, 2, -math.inf]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measure_ranges": ()}, "--measure-ranges must give the lowest and the highest"),
        ({"measure_ranges": (1.0, 0.0, 0.0, 1.0)}, "a lowest value below its highest"),
        ({"cells": (4,)}, "--cells must be 2 of at least 1"),
        ({"cells": (1 << 13, 1 << 13)}, "--cells must make at most"),
        ({"measures": ("a",)}, "--measures must have a pair"),
        ({"measures": ("a", "a")}, "--measures must give each name once"),
    ],
)
def test_settings_of_no_archive_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(SETTINGS, **changes).check()
