"""Messages: who passes a publication on to whom."""

from __future__ import annotations

import math

import pytest

from esengine.ranks.messages import FANOUT, place_in_tree


@pytest.mark.parametrize("num_nodes", [1, 2, 5, 6, 21, 22, 1000])
def test_a_publication_reaches_every_leader_once_and_soon(num_nodes: int) -> None:
    leaders = [48 * node for node in range(num_nodes)]
    depth = {leaders[0]: 0}
    for leader in leaders:  # parents stand before their children
        _, children = place_in_tree(leaders, leader)
        assert len(children) <= FANOUT
        for child in children:
            assert child not in depth
            assert place_in_tree(leaders, child)[0] == leader
            depth[child] = depth[leader] + 1
    assert set(depth) == set(leaders)
    assert max(depth.values()) <= math.ceil(math.log(num_nodes, FANOUT)) + 1


def test_only_leaders_have_children() -> None:
    assert place_in_tree([0, 4, 8], 5) == (0, [])
    assert place_in_tree([0, 4, 8], 0) == (0, [4, 8])
