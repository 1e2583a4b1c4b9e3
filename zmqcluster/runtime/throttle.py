"""Say a thing once: a peer that tries again every second is not worth a line every second."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Throttle"]

INTERVAL_MS = 60_000
KEYS_MAX = 1_000


class Throttle:
    """Lets each key pass once per interval; of many keys it remembers the latest."""

    def __init__(self, interval_ms: int = INTERVAL_MS, keys_max: int = KEYS_MAX) -> None:
        self._interval_ms = interval_ms
        self._keys_max = keys_max
        self._passed_ms: dict[Hashable, int] = {}

    def passes(self, key: Hashable, now_ms: int) -> bool:
        """Return whether ``key`` did not pass lately; if so, it does now."""
        last_ms = self._passed_ms.get(key)
        if last_ms is not None and now_ms - last_ms < self._interval_ms:
            return False
        self._passed_ms.pop(key, None)
        self._passed_ms[key] = now_ms
        if len(self._passed_ms) > self._keys_max:
            del self._passed_ms[next(iter(self._passed_ms))]
        return True
