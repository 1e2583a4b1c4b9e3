"""The nodes of this host and user, as their run directory and the system tell: nobody is asked, no cookie is needed.

Rules: a node that was killed is shown as dead until another one clears its entry away; what the system does not tell
(memory and age are read from /proc) is left blank.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zmqcluster.discovery.local import Entry, listing
from zmqcluster.monitoring.columns import columns, duration, size

__all__ = ["NodeLine", "as_table", "list_nodes"]


@dataclass(frozen=True, slots=True)
class NodeLine:
    """One node of this host. ``age_s`` and ``memory_bytes`` are None where unknown, and of a dead node."""

    node: str
    pid: int
    state: str
    age_s: float | None
    memory_bytes: int | None
    endpoints: tuple[str, ...]


def list_nodes(run_dir: Path | None = None) -> list[NodeLine]:
    """Return the nodes of this host and user, sorted by name.

    Raises:
        ConfigError: the run directory cannot be used.
    """
    return [_line_of(entry) for entry in listing(run_dir)]


def as_table(lines: Iterable[NodeLine]) -> list[str]:
    """Return a header and a line for each node."""
    rows = [
        (each.node, str(each.pid), each.state, duration(each.age_s), size(each.memory_bytes), " ".join(each.endpoints))
        for each in lines
    ]
    return columns(("NODE", "PID", "STATE", "AGE", "MEMORY", "ENDPOINTS"), rows)


def _line_of(entry: Entry) -> NodeLine:
    if not entry.is_alive:
        return NodeLine(entry.name, entry.pid, "dead", None, None, entry.endpoints)
    return NodeLine(entry.name, entry.pid, "up", _age_s(entry.pid), _memory_bytes(entry.pid), entry.endpoints)


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
