"""The start of a server on another node: its class travels by name, and is looked up there.

    start_on(node, cls) ── erpc ──> start_here ──> start_process, as if that node had asked itself
                    <── pid, AlreadyStarted, StartFailed ──┘

A server class is offered to other nodes by being imported. Source: erpc of gen_server:start/3.
"""

from __future__ import annotations

from typing import Any

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.errors import ConfigError, NotExported, RemoteError, StartFailed
from zmqcluster.otp import erpc
from zmqcluster.otp.servers import resolve_server, server_name
from zmqcluster.otp.starting import start_process
from zmqcluster.runtime.exported import remote
from zmqcluster.runtime.process import Via
from zmqcluster.runtime.remote_errors import portable_reason

__all__ = ["start_process_on"]


async def start_process_on(
    node: str,
    cls: type[Any],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    *,
    name: str | Via | None = None,
    timeout_s: float | None = None,
) -> Pid:
    """``start_process`` on ``node``.

    Raises:
        NotExported: the node has not imported the class.
        NoConnectionError: the node cannot be reached, or went down; the server may run.
        and what ``start_process`` raises.
    """
    try:
        return await erpc.call(
            node, start_here, server_name(cls), arguments, keywords, name, timeout_s, timeout_s=None
        )
    except RemoteError as failed:
        if failed.error is not None:
            raise failed.error from None
        raise


@remote(name="zmqcluster.start")
async def start_here(
    server: str, arguments: tuple[Any, ...], keywords: dict[str, Any], name: str | Via | None, timeout_s: float | None
) -> Pid:
    """Start a server of the class with this wire name."""
    try:
        cls = resolve_server(server)
    except ConfigError:
        raise NotExported(_core.current_scheduler().node, server) from None
    try:
        return await start_process(cls, arguments, keywords, name=name, timeout_s=timeout_s)
    except StartFailed as failed:
        raise StartFailed(failed.server, portable_reason(failed.reason)) from failed
