"""Where a node may be dialled, judged by its name alone; asked anew at every dial, for addresses change."""

from __future__ import annotations

from pathlib import Path

from zmqcluster.constants import DEFAULT_PORT
from zmqcluster.ids import NodeName
from zmqcluster.transport.addresses import resolve, tcp_endpoint
from zmqcluster.transport.rundir import local_endpoint

__all__ = ["dial_endpoints"]


async def dial_endpoints(own: NodeName, run_dir: Path | None, node: NodeName) -> tuple[str, ...]:
    """Return the endpoints of ``node`` as seen from ``own``, best first: its ipc socket on this host, then tcp.

    Args:
        run_dir: where nodes of this host have their sockets; None: there are none.
    Raises:
        ConnectionFailed: its host name can't be resolved.
    """
    local = local_endpoint(node, run_dir, own.host) if run_dir else None
    tcp = tcp_endpoint(await resolve(node.host), node.port or DEFAULT_PORT)
    return (local, tcp) if local else (tcp,)
