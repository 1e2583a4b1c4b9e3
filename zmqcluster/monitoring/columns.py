"""Text in columns, for terminals."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["columns", "count", "duration", "size"]


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the header and a line for each row, in columns that fit the longest value."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in lines]


def count(number: int | None) -> str:
    """``1,234``; nothing for what is not known."""
    return "" if number is None else f"{number:,}"


def duration(seconds_total: float | None) -> str:
    """``1h 02m`` or ``2m 03s``; nothing for what is not known."""
    if seconds_total is None:
        return ""
    minutes, seconds = divmod(int(max(0.0, seconds_total)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds:02}s"


def size(count_bytes: int | None) -> str:
    """``512 B``, ``3.2 kB`` or ``41.0 MB``; nothing for what is not known."""
    if count_bytes is None:
        return ""
    if count_bytes < 1_000:
        return f"{count_bytes} B"
    return f"{count_bytes / 1e3:.1f} kB" if count_bytes < 1_000_000 else f"{count_bytes / 1e6:.1f} MB"
