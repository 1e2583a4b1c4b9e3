"""Imported by a node, it makes it one that speaks later versions of the protocol only."""

from __future__ import annotations

from zmqcluster.runtime import node

node.VERSION_MIN, node.VERSION_MAX = 7, 9
