"""The nodes of this host and user, as their run directory and the system tell: nobody is asked, no cookie is needed.

    up        its process holds its name            silent    and it was asked, and did not answer
    stopped   and the system has stopped it         dead      its process was killed; until somebody clears it away
    stalled   and its loop has not turned for a while

Rule: what the system does not tell (memory, age and stopped are read from /proc) is left blank.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from zmqcluster.discovery.local import Entry, listing
from zmqcluster.monitoring.columns import columns, count, duration, size
from zmqcluster.monitoring.overview import Overview
from zmqcluster.transport.pulse import lag_ms
from zmqcluster.transport.rundir import has_cookie, run_directory

__all__ = ["NodeLine", "as_table", "list_nodes"]

STALLED_MS_MIN = 2_000  # two ticks of the slowest preset, and what a busy machine adds


@dataclass(frozen=True, slots=True)
class NodeLine:
    """One node of this host. What is None is not known: of a dead node, or because the node was not asked.

    ``peers`` are the nodes it is connected to, ``workers`` the children of cluster supervisors that run on it.
    """

    node: str
    pid: int
    state: str
    age_s: float | None
    memory_bytes: int | None
    endpoints: tuple[str, ...]
    peers: int | None = None
    workers: int | None = None
    has_cookie: bool = True

    def seen_as(self, overview: Overview | None) -> NodeLine:
        """This line, with what the node said of itself; None: it was asked and did not answer."""
        if overview is None:
            return replace(self, state="silent") if self.state == "up" else self
        visible = sum(peer.node_type == "visible" for peer in overview.peers)
        return replace(self, peers=visible, workers=overview.workers)


def list_nodes(run_dir: Path | None = None) -> list[NodeLine]:
    """Return the nodes of this host and user, sorted by name.

    Raises:
        ConfigError: the run directory cannot be used.
    """
    directory = run_directory(run_dir)
    return [_line_of(entry, directory) for entry in listing(run_dir)]


def as_table(lines: Iterable[NodeLine]) -> list[str]:
    """Return a header and a line for each node."""
    rows = [
        (
            each.node,
            str(each.pid),
            each.state,
            count(each.peers),
            count(each.workers),
            duration(each.age_s),
            size(each.memory_bytes),
            " ".join(each.endpoints),
        )
        for each in lines
    ]
    return columns(("NODE", "PID", "STATE", "PEERS", "WORKERS", "AGE", "MEMORY", "ENDPOINTS"), rows)


def _line_of(entry: Entry, run_dir: Path) -> NodeLine:
    if not entry.is_alive:
        return NodeLine(entry.name, entry.pid, "dead", None, None, entry.endpoints)
    state = "stopped" if _is_stopped(entry.pid) else "up"
    if state == "up" and (lag_ms(run_dir, entry.name) or 0) > STALLED_MS_MIN:
        state = "stalled"
    figures = _age_s(entry.pid), _memory_bytes(entry.pid)
    asks = has_cookie(run_dir, entry.name)
    return NodeLine(entry.name, entry.pid, state, *figures, entry.endpoints, has_cookie=asks)


def _is_stopped(pid: int) -> bool:
    """Whether the process was sent SIGSTOP. Source: proc(5), the 3rd field of stat."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False


def _age_s(pid: int) -> float | None:
    """Return for how long the OS process has run. Source: proc(5), the 22nd field of stat is its start in ticks."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return None


def _memory_bytes(pid: int) -> int | None:
    """Return the resident memory of the OS process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None
