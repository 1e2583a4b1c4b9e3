"""What a log record carries besides its text, for machines that read logs.

    record.zmqcluster == {"event": "node.down", "node": "a@10.0.0.1", "peer": "b@10.0.0.2", "reason": "silence"}

    node.up       node peer node_type incarnation version capabilities links
    node.down     node peer reason unacked_count         reasons: protocol.steps; messages sent and not confirmed
    node.refused  node peer reason detail by_peer        reasons: protocol.handshake, "cookie"
    door.refused  node address problem                   somebody who did not get as far as a name
    node.stalled  node peer lag_ms                       it lives, its loop does not turn; then node.resumed: node peer
    node.suspect  node peer silent_ms helpers            nothing was heard of it; then node.refuted: node peer, or down
    loop.stalled  node lag_ms stack                      our own loop does not turn: where it is

All are of the logger ``zmqcluster.node``. What is told again and again is logged once a minute.
"""

from __future__ import annotations

from typing import Any

__all__ = ["record"]


def record(event: str, **fields: Any) -> dict[str, Any]:
    """The ``extra=`` of a logging call."""
    return {"zmqcluster": {"event": event, **fields}}
