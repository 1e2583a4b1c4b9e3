"""Nodes whose names are known beforehand."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from zmqcluster.discovery.strategy import Address, Host
from zmqcluster.discovery.topologies import Topology
from zmqcluster.errors import ConfigError
from zmqcluster.ids import NodeName

__all__ = ["Static", "StaticNames"]

INTERVAL_S = 5.0  # the list never changes: this is only how soon an explicit disconnect is undone


class StaticNames:
    """Finds the nodes it was given."""

    interval_s = INTERVAL_S

    def __init__(self, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise ConfigError(f"Static takes a list of node names, not the string {names!r}")
        self.addresses = {Address(NodeName.parse(name)) for name in names}

    async def find(self) -> Collection[Address]:
        return self.addresses

    async def announce(self, host: Host) -> None:
        """Others have the list too."""

    async def withdraw(self) -> None:
        """Nothing was announced."""


class Static(Topology):
    """Joins the nodes of a list, and tries those that are away again for ever.

    Each node of a cluster may be given the same list: its own name is skipped. An empty list is ignored.

    Raises:
        ConfigError: a name is malformed.
    Source: libcluster's Epmd strategy, which by default tries once.
    """

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(StaticNames(names))
