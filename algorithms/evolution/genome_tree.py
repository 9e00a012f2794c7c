"""The ancestry of a population whose members are chains of mutations (Such et al. 2017, arXiv
1712.06567).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import SavedState
from esengine.algorithms.strategy import State
from esengine.candidates import Genomes

_MOST_NUMBERS = 1 << 24  # in all roots together: 64 MB of a checkpoint in float32
_NODE_FIELDS = ("parents", "births", "generations", "members", "sigmas", "origins")


class GenomeTree(SavedState):
    """The tree. Every node is a root, whose parameters are stored, or one mutation of its parent.

    Without `rebase` chains would grow by one link per generation. It turns ancestors into roots and
    drops the nodes above them.

    Attributes:
        roots: (num_roots, dimension) parameters of the roots.
        parents: (num_nodes,) int64 parent of each node, -1 for roots.
        births: (num_nodes,) int64 generation in which each node was added.
        generations, members, sigmas: (num_nodes,) address and step size of each node's mutation;
            the step size of roots is 0.
        origins: (num_nodes,) int64 row of ``roots`` of each root, -1 for other nodes.

    Args:
        root: (dimension,) parameters of node 0.
    """

    saved = ("roots", *_NODE_FIELDS)

    def __init__(self, root: NDArray[np.floating]) -> None:
        self.roots = np.array(root)[None]
        self.parents = np.array([-1])
        self.births = np.zeros(1, np.int64)
        self.generations = np.zeros(1, np.int64)
        self.members = np.zeros(1, np.int64)
        self.sigmas = np.zeros(1)
        self.origins = np.zeros(1, np.int64)

    def grow(
        self,
        parents: NDArray[np.int64],
        mates: NDArray[np.int64],
        generation: int,
        members: NDArray[np.int64],
        sigmas: NDArray[np.float64],
    ) -> NDArray[np.int64]:
        """Add the selected members and return their nodes, (num_members,).

        Args:
            parents: (num_members,) node that each member copies or mutates.
            mates: (num_members,) node whose mutation each member applies before its own, or -1.
            generation: the generation of the members.
            members: (num_members,) ids; a member that is selected twice gets one node.
            sigmas: (num_members,) step size of each mutation; 0 for a copy, whose node is its
                parent's.
        """
        mutated = sigmas > 0
        _, index, inverse = np.unique(members[mutated], return_index=True, return_inverse=True)
        first = np.flatnonzero(mutated)[index]  # one entry per mutated member

        # The mutation of a mate, between the parent and the member's own
        crossed = first[mates[first] >= 0]
        of_mates = mates[crossed]
        above = parents.copy()
        above[crossed] = self._add(
            parents[crossed],
            generation,
            self.generations[of_mates],
            self.members[of_mates],
            self.sigmas[of_mates],
        )

        # The members' own mutations
        own = self._add(
            above[first], generation, np.full(first.size, generation), members[first], sigmas[first]
        )
        nodes = parents.copy()
        nodes[mutated] = own[inverse]
        return nodes

    def _add(
        self,
        parents: NDArray[np.int64],
        birth: int,
        generations: NDArray[np.int64],
        members: NDArray[np.int64],
        sigmas: NDArray[np.float64],
    ) -> NDArray[np.int64]:
        """Add nodes and return their numbers, (num_new,)."""
        count = parents.size
        values = (parents, np.full(count, birth), generations, members, sigmas, np.full(count, -1))
        for name, value in zip(_NODE_FIELDS, values, strict=True):
            setattr(self, name, np.concatenate([getattr(self, name), value]))
        return np.arange(self.parents.size - count, self.parents.size)

    def prune(self, leaves: NDArray[np.int64]) -> NDArray[np.int64]:
        """Drop the nodes without a descendant among the leaves; return the leaves' new numbers."""
        alive = np.zeros(self.parents.size, bool)
        frontier = np.unique(leaves)
        while frontier.size:
            alive[frontier] = True
            above = np.unique(self.parents[frontier])
            frontier = above[(above >= 0) & ~alive[above]]

        renumber = np.cumsum(alive) - 1
        self.parents = np.where(self.parents >= 0, renumber[self.parents], -1)
        for name in _NODE_FIELDS:
            setattr(self, name, getattr(self, name)[alive])

        used = np.unique(self.origins[self.origins >= 0])
        self.roots = self.roots[used]
        self.origins = np.where(self.origins >= 0, np.searchsorted(used, self.origins), -1)
        return renumber[leaves]

    def rebase(
        self,
        leaves: NDArray[np.int64],
        birth: int,
        rebuild: Callable[[Genomes], NDArray[np.floating]],
    ) -> NDArray[np.int64]:
        """Make roots of each leaf's newest ancestor that was added in generation ``birth`` or
        earlier.

        If these ancestors need too much memory, nothing changes. Their number falls with every
        generation, so a later call succeeds.

        Args:
            leaves: nodes.
            birth: a generation, not before those of earlier calls.
            rebuild: returns the parameters of genomes, bit for bit as they were.

        Returns:
            The leaves' new numbers.
        """
        ancestors = leaves.copy()
        while (young := self.births[ancestors] > birth).any():
            ancestors = np.where(young, self.parents[ancestors], ancestors)
        ancestors = np.unique(ancestors)
        if ancestors.size * self.roots.shape[1] > _MOST_NUMBERS:
            return leaves

        self.roots = rebuild(self.genomes(ancestors))
        self.parents[ancestors] = -1
        self.sigmas[ancestors] = 0.0
        self.origins[:] = -1
        self.origins[ancestors] = np.arange(ancestors.size)
        return self.prune(leaves)

    def genomes(self, leaves: NDArray[np.int64]) -> Genomes:
        """Return the chains from a root to each leaf."""
        chains: list[list[int]] = []
        origins = np.empty(leaves.size, np.int64)
        for i, node in enumerate(leaves.tolist()):
            chain = []
            while self.parents[node] >= 0:
                chain.append(node)
                node = int(self.parents[node])
            origins[i] = self.origins[node]
            chains.append(chain[::-1])

        nodes = np.array([node for chain in chains for node in chain], np.int64)
        return Genomes(
            self.roots,
            origins,
            self.generations[nodes],
            self.members[nodes],
            self.sigmas[nodes],
            np.concatenate([[0], np.cumsum([len(chain) for chain in chains])]).astype(np.int64),
        )

    def last_links(self, nodes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return generation, member and step size of each node's mutation, (3, num_nodes) float64.

        The step size of roots is 0.
        """
        return np.array(
            [self.generations[nodes], self.members[nodes], self.sigmas[nodes]], np.float64
        )

    def restore(self, state: State) -> None:
        """Become the tree that gave ``state``. Raises ValueError if a node has an invalid parent or
        root.
        """
        parents = state["parents"]
        origins = state["origins"]
        if len({state[name].shape for name in _NODE_FIELDS}) != 1 or parents.size < 1:
            raise ValueError("the ancestry has parts of different lengths")
        if (parents < -1).any() or (parents >= np.arange(parents.size)).any():
            raise ValueError("the ancestry has a node that does not come after its parent")
        if (origins[parents < 0] < 0).any() or (origins >= len(state["roots"])).any():
            raise ValueError("the ancestry has a root without a row")
        super().restore(state)
