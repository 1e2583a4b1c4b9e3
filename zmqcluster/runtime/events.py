"""What a node tells the processes that asked for it: messages in their mailbox.

NodeUp of a peer comes before the first message of its session and NodeDown after the last; they alternate.
Source: net_kernel:monitor_nodes/2; there the type of the node and the reason are only told when asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from zmqcluster.core import message

__all__ = ["Gossip", "NodeDown", "NodeType", "NodeUp"]

NodeType = Literal["visible", "hidden"]


@message(tag="node.up")
@dataclass(frozen=True, slots=True)
class NodeUp:
    """A session with ``node`` began; it is in ``nodes()`` already, or in ``nodes("hidden")``."""

    node: str
    node_type: NodeType = "visible"


@message(tag="node.down")
@dataclass(frozen=True, slots=True)
class NodeDown:
    """The session with ``node`` ended and it is no longer in ``nodes()``; for the reasons see ``protocol.steps``."""

    node: str
    reason: str
    node_type: NodeType = "visible"


@message(tag="node.gossip")
@dataclass(frozen=True, slots=True)
class Gossip:
    """``node`` published ``message`` under ``topic``; earlier ones may have been lost."""

    node: str
    topic: str
    message: Any
