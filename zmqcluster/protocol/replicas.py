"""Who runs this supervisor, and whose word counts on who is gone.

    a -- b -- c       a and c are cut, b sees both: b claims c towards a, so a does not take over the children of c

A replica is known by its pid: one that restarts on the same node is another replica. It is gone when no session reaches
it and no replica we do reach claims to reach it; a newer replica on its node settles that at once. Claims are at first
hand only, so what is gone is gone for everybody within one message.
"""

from __future__ import annotations

from zmqcluster.ids import Pid

__all__ = ["Replicas"]


class Replicas:
    """The replicas this one reaches, itself included, and what they claim to reach."""

    __slots__ = ("_claims", "by_node", "me", "nodes", "peers")

    def __init__(self, me: Pid) -> None:
        self.me = me
        self.by_node: dict[str, Pid] = {me.node: me}
        self.nodes: tuple[str, ...] = (me.node,)  # sorted
        self.peers: tuple[str, ...] = ()  # the other nodes, sorted
        self._claims: dict[str, frozenset[Pid]] = {}

    def pids(self) -> tuple[Pid, ...]:
        return tuple(self.by_node[node] for node in self.nodes)

    def join(self, replica: Pid) -> bool:
        """Return whether it is new."""
        if self.by_node.get(replica.node) == replica:
            return False
        self.by_node[replica.node] = replica
        self._sort()
        return True

    def leave(self, node: str) -> bool:
        """Return whether it was there."""
        self._claims.pop(node, None)
        if node == self.me.node or self.by_node.pop(node, None) is None:
            return False
        self._sort()
        return True

    def _sort(self) -> None:
        self.nodes = tuple(sorted(self.by_node))
        self.peers = tuple(node for node in self.nodes if node != self.me.node)

    def claim(self, node: str, replicas: tuple[Pid, ...]) -> None:
        """Note that the replica on ``node`` reaches ``replicas``."""
        self._claims[node] = frozenset(replicas)

    def is_alive(self, replica: Pid) -> bool:
        known = self.by_node.get(replica.node)
        if known is not None:
            return known == replica
        return any(replica in claimed for claimed in self._claims.values())
