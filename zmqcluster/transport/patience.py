"""How a kernel repeats what was lost: evenly, in place of twice as late each time.

    as it is      lost ── 0.2 ── 0.4 ── 0.8 ── 1.6 ── 3.2 s ──> ...      five losses in a row: silent for 6 s
    retry evenly  lost ── 0.2 ── 0.2 ── 0.2 ── 0.2 ── 0.2 ── 0.2 ──> then doubled, at most 1 s where the kernel can

The back-off keeps a crowd of long transfers from choking a network. Beats and control frames are a few bytes a second:
there is nothing to save, and their silence would look like a death. It only applies while less than four packets are on
their way. Source: Linux, Documentation/networking/tcp-thin.rst. Elsewhere nothing happens.
"""

from __future__ import annotations

import contextlib
import socket
import sys

from zmqcluster.transport.sight import borrowed

__all__ = ["retry_evenly"]

TCP_THIN_LINEAR_TIMEOUTS = 16
TCP_RTO_MAX_MS = 44  # since Linux 6.15
RTO_MS_MAX = 1_000  # the least it takes


def retry_evenly(fd: int) -> None:
    """Set up the connection behind ``fd``, which is another's: it may be closed, or no TCP; then nothing is done."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError), borrowed(fd) as connection:
        if connection is not None:
            connection.setsockopt(socket.IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1)
            connection.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, RTO_MS_MAX)
