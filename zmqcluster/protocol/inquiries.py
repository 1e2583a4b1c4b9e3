"""What others asked us about peers, until we can answer.

    target ──> who asks ──> the last beat of the target that the asker knows of

Invariant: an inquiry is answered at most once; who still wants to know asks again. One per asker and target, so their
number is bounded by that of the peers.
"""

from __future__ import annotations

__all__ = ["Inquiries"]


class Inquiries:
    """The open inquiries of one node."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        """How many targets are asked about."""
        return len(self._open)

    def open(self, target: str, asker: str, number: int) -> None:
        """``asker`` wants to know of a beat of ``target`` beyond ``number``."""
        self._open.setdefault(target, {})[asker] = number

    def answered_by(self, target: str, number: int) -> list[str]:
        """Close the inquiries that the beat ``number`` of ``target`` answers; return who asked."""
        askers = self._open.get(target)
        if not askers:
            return []
        answered = [asker for asker, known in askers.items() if number > known]
        for asker in answered:
            del askers[asker]
        if not askers:
            del self._open[target]
        return answered

    def close(self, target: str) -> list[tuple[str, int]]:
        """Close all inquiries about ``target``; return who asked, and the beat each one knows of."""
        return list(self._open.pop(target, {}).items())

    def forget(self, asker: str) -> None:
        """``asker`` is gone."""
        for target, askers in list(self._open.items()):
            askers.pop(asker, None)
            if not askers:
                del self._open[target]
