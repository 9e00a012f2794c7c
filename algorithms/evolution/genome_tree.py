"""The living ancestry of a population whose members are chains of mutations (Such et al. 2017,
arXiv 1712.06567).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State
from esengine.candidates import Genomes

_MOST_NUMBERS = 1 << 24  # of all roots together: 64 MB of a checkpoint in float32
_NODE_FIELDS = ("parents", "births", "generations", "members", "sigmas", "origins")


class GenomeTree:
    """Every node is a root, whose row is kept, or one mutation of its parent node.

    Chains would grow by a link a generation for ever; `rebase` turns ancestors into roots and
    forgets what was before them.

    Attributes:
        roots: (num_roots, dimension).
        parents: (num_nodes,) int64 node that each node mutates, -1 for roots.
        births: (num_nodes,) int64 generation in which each node came into the tree.
        generations, members, sigmas: (num_nodes,) address and step size of each node's mutation;
            step size 0 for roots.
        origins: (num_nodes,) int64 row of ``roots`` of each root, -1 for other nodes.

    Args:
        root: (dimension,) the initial row, node 0.
    """

    def __init__(self, root: NDArray[np.floating]) -> None:
        self.roots = np.array(root)[None]
        self.parents, self.origins = np.array([-1]), np.zeros(1, np.int64)
        self.births, self.generations, self.members = (np.zeros(1, np.int64) for _ in range(3))
        self.sigmas = np.zeros(1)

    def grow(
        self,
        parents: NDArray[np.int64],
        mates: NDArray[np.int64],
        generation: int,
        members: NDArray[np.int64],
        sigmas: NDArray[np.float64],
    ) -> NDArray[np.int64]:
        """Nodes of the selected members, (num_members,).

        Args:
            parents: (num_members,) node that each member is a copy or a mutation of.
            mates: (num_members,) node whose mutation each takes before its own, or -1.
            generation: that the members were born in.
            members: (num_members,) their ids; a member that is selected twice gets one node.
            sigmas: (num_members,) step size of each mutation; 0 for a copy, whose node is the
                parent's own.
        """
        mutated = sigmas > 0
        _, index, inverse = np.unique(members[mutated], return_index=True, return_inverse=True)
        first = np.flatnonzero(mutated)[index]
        crossed = first[mates[first] >= 0]
        above = parents.copy()
        links = (
            self.generations[mates[crossed]],
            self.members[mates[crossed]],
            self.sigmas[mates[crossed]],
        )
        above[crossed] = self._add(parents[crossed], generation, *links)
        nodes = parents.copy()
        own = self._add(
            above[first], generation, np.full(first.size, generation), members[first], sigmas[first]
        )
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
        """New nodes' numbers."""
        count = parents.size
        values = (parents, np.full(count, birth), generations, members, sigmas, np.full(count, -1))
        for name, value in zip(_NODE_FIELDS, values, strict=True):
            setattr(self, name, np.concatenate([getattr(self, name), value]))
        return np.arange(self.parents.size - count, self.parents.size)

    def prune(self, leaves: NDArray[np.int64]) -> NDArray[np.int64]:
        """Forget the nodes that no leaf descends from; returns the leaves' new numbers."""
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
        """Make roots of the leaves' newest ancestors that were born in generation ``birth`` or
        before.

        Nothing is done while these are too many to be kept; they become fewer with every generation
        that passes.

        Args:
            leaves: nodes.
            birth: a generation, not before those of earlier calls.
            rebuild: gives the rows of genomes, bit for bit as they were.

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
        self.parents[ancestors], self.sigmas[ancestors] = -1, 0.0
        self.origins[:] = -1
        self.origins[ancestors] = np.arange(ancestors.size)
        return self.prune(leaves)

    def genomes(self, leaves: NDArray[np.int64]) -> Genomes:
        """The chains from a root to each leaf."""
        chains, origins = [], np.empty(leaves.size, np.int64)
        for i, leaf in enumerate(leaves.tolist()):
            chain, node = [], leaf
            while self.parents[node] >= 0:
                chain.append(node)
                node = int(self.parents[node])
            origins[i] = self.origins[node]
            chains.append(chain[::-1])
        nodes = np.array([node for chain in chains for node in chain], np.int64)
        offsets = np.concatenate([[0], np.cumsum([len(chain) for chain in chains])]).astype(
            np.int64
        )
        return Genomes(
            self.roots,
            origins,
            self.generations[nodes],
            self.members[nodes],
            self.sigmas[nodes],
            offsets,
        )

    def last_links(self, nodes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Generation, member and step size of each node's own mutation, (3, num_nodes); the step
        size is 0 for roots.
        """
        return np.array(
            [self.generations[nodes], self.members[nodes], self.sigmas[nodes]], np.float64
        )

    def state(self) -> State:
        return {name: getattr(self, name) for name in ("roots", *_NODE_FIELDS)}

    def restore(self, state: State) -> None:
        """Take the ancestry of `state`. Raises ValueError if a node's parent or root is none."""
        parents, origins = state["parents"], state["origins"]
        if len({state[name].shape for name in _NODE_FIELDS}) != 1 or parents.size < 1:
            raise ValueError("the ancestry has parts of different lengths")
        if (parents < -1).any() or (parents >= np.arange(parents.size)).any():
            raise ValueError("the ancestry has a node that does not come after its parent")
        if (origins[parents < 0] < 0).any() or (origins >= len(state["roots"])).any():
            raise ValueError("the ancestry has a root without a row")
        for name, array in state.items():
            setattr(self, name, np.array(array))
