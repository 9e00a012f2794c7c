"""The simulation of overlapped generations, where its shares are known."""

from __future__ import annotations

import pytest

from benchmarks.overlap import Case, Span, measured_share, simulated_share


@pytest.mark.parametrize(
    ("case", "workers", "share"),
    [
        (Case("constant", 4), 4, 1.0),
        (Case("constant", 4), 3, 4 / 6),  # two rounds for four members
        (Case("constant", 4, runs=3), 3, 1.0),
        (Case("constant", 1, generations=5), 2, 0.5),
        (Case("constant", 1, lag=1, generations=6), 2, 1.0),
    ],
)
def test_shares_of_constant_members_are_exact(case: Case, workers: int, share: float) -> None:
    assert simulated_share(case, workers) == pytest.approx(share)


def test_the_measured_share_counts_from_the_first_unit_of_any_run_to_the_last_result() -> None:
    spans = [Span(10.0, 14.0, 5.0), Span(11.0, 20.0, 10.0)]
    assert measured_share(spans, 3) == pytest.approx(15 / (3 * 10))
