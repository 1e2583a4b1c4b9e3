"""When the loop of a node last turned, for other processes of this host: eight bytes of shared memory.

    node's clockwork ──turned()──> first 8 bytes of its .lock file: u64 CLOCK_MONOTONIC in ns ──> `zmqcluster ls`

A loop that is stuck cannot answer, so it is not asked; and the clock is the host's, so the reader knows for how long.
Needs no thread, and shows also what keeps the GIL. Source: the watchdog files of daemons; here without any write.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import time
from pathlib import Path

from zmqcluster.transport.rundir import LOCK_SUFFIX, socket_path

__all__ = ["Pulse", "lag_ms"]

TURNED = struct.Struct("=Q")


class Pulse:
    """The pulse of a node that holds its name on this host; its lock file is there."""

    def __init__(self, run_dir: Path, node: str) -> None:
        with socket_path(run_dir, node, LOCK_SUFFIX).open("r+b") as file:
            if os.fstat(file.fileno()).st_size < TURNED.size:
                file.truncate(TURNED.size)
            self._page = mmap.mmap(file.fileno(), TURNED.size)
        self.turned()

    def turned(self) -> None:
        """The loop is alive. Cheap; called at each tick of the node."""
        TURNED.pack_into(self._page, 0, time.monotonic_ns())

    def close(self) -> None:
        """Beat no more. Idempotent."""
        self._page.close()


def lag_ms(run_dir: Path, node: str) -> int | None:
    """Return for how long the loop of ``node`` has not turned; None where it does not say."""
    with contextlib.suppress(OSError), socket_path(run_dir, node, LOCK_SUFFIX).open("rb") as file:
        said = file.read(TURNED.size)
        turned_ns: int = TURNED.unpack(said)[0] if len(said) == TURNED.size else 0
        if turned_ns:
            return max(0, time.monotonic_ns() - turned_ns) // 1_000_000
    return None
