"""What a node tells the processes that asked for it: messages in their mailbox.

NodeUp of a peer comes before the first message of its session and NodeDown after the last; they alternate.
Source: net_kernel:monitor_nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zmqcluster.core import message

__all__ = ["Gossip", "NodeDown", "NodeUp"]


@message(tag="node.up")
@dataclass(frozen=True, slots=True)
class NodeUp:
    """A session with ``node`` began; it is in ``nodes()`` already."""

    node: str


@message(tag="node.down")
@dataclass(frozen=True, slots=True)
class NodeDown:
    """The session with ``node`` ended and it is no longer in ``nodes()``; for the reasons see ``protocol.steps``."""

    node: str
    reason: str


@message(tag="node.gossip")
@dataclass(frozen=True, slots=True)
class Gossip:
    """``node`` published ``message`` under ``topic``; earlier ones may have been lost."""

    node: str
    topic: str
    message: Any
