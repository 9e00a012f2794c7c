"""The states of a rank that does units of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from esengine.pool.rank_state import RankState
from esengine.ranks.node_memory import NodeMemory, map_bundle


class RankStates:
    """The states of a rank, one for each run that shares the ranks. Versions of publications are
    unique among all of them.

    Args:
        states: by the number of the run.
    """

    def __init__(self, states: Sequence[RankState]) -> None:
        self.all = list(states)
        self._of_version: dict[int, RankState] = {}

    @property
    def memory(self) -> NodeMemory | None:
        """The node's shared files, or None when the process is alone."""
        return self.all[0].memory

    def publish(
        self, version: int, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """See `RankState.publish`; the header says whose publication it is."""
        self.all[header.get("run", 0)].publish(version, header, arrays)

    def load(self, version: int) -> RankState:
        """The state that a publication belongs to, with the publication in use.

        Raises:
            KeyError, FileNotFoundError: the publication is lost.
        """
        state = self.all[0] if len(self.all) == 1 else self._find(version)
        state.load(version)
        return state

    def images(self) -> list[tuple[int, bytes]]:
        """See `RankState.images`; those of all runs."""
        return sorted(image for state in self.all for image in state.images())

    def _find(self, version: int) -> RankState:
        if version not in self._of_version:
            memory = self.memory
            assert memory is not None
            header, _ = map_bundle(memory.find(version))
            kept = {number for state in self.all for number in state.versions()}
            self._of_version = {
                number: state for number, state in self._of_version.items() if number in kept
            }
            self._of_version[version] = self.all[header.get("run", 0)]
        return self._of_version[version]
