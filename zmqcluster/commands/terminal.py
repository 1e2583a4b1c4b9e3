"""What the commands print."""

from __future__ import annotations

import sys

__all__ = ["EVERY_S", "tell"]

CLEAR = "\x1b[H\x1b[2J"
EVERY_S = 1.0


def tell(text: str, *, is_repeated: bool = False) -> None:
    """Print ``text``; a screen that is repeated replaces the last one."""
    print(f"{CLEAR if is_repeated and sys.stdout.isatty() else ''}{text}", flush=True)
