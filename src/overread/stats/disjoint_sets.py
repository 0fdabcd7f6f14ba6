"""Which things are in one group so far (union-find)."""

from __future__ import annotations


class DisjointSets:
    """Disjoint sets of numbers, with path halving (Tarjan and van Leeuwen, J ACM 1984).

    A number is alone until it is joined. The smallest of a set stands for it, so the result does
    not depend on the order in which pairs are joined.
    """

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def root(self, node: int) -> int:
        """The number that stands for the set of `node`."""
        while (parent := self._parent.get(node, node)) != node:
            self._parent[node] = self._parent.get(parent, parent)
            node = parent
        return node

    def same(self, a: int, b: int) -> bool:
        """Whether both are in one set."""
        return self.root(a) == self.root(b)

    def join(self, a: int, b: int) -> None:
        """Make one set of the sets of `a` and `b`."""
        low, high = sorted((self.root(a), self.root(b)))
        self._parent[high] = low
