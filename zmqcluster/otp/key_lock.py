"""Mutual exclusion per key: one process inside at a time, the others wait in their order.

    locks: key ──> KeyLock(holder, waiting: promise, promise, ..)        absent while nobody holds the key

There is no lock process and no time-out: a holder that ends, however it ends, is unwound by the core, and that leaves
its ``async with``. Invariant: a lock in the table has a holder; the last one to leave removes it.
Source: Registry.lock/3 of Elixir 1.18.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from types import TracebackType

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Call
from zmqcluster.errors import NotInProcess, UsageError
from zmqcluster.protocol.entries import Key

__all__ = ["KeyLock", "LockScope"]


class KeyLock:
    """Who holds one key, and who waits for it."""

    __slots__ = ("holder", "waiting")

    def __init__(self, holder: Pid | None) -> None:
        self.holder = holder  # None: a plain asyncio task
        self.waiting: deque[tuple[Call, Pid | None]] = deque()


class LockScope:
    """``async with`` this: inside, nobody else is in a scope of the same key."""

    __slots__ = ("_key", "_locks")

    def __init__(self, locks: dict[Key, KeyLock], key: Key) -> None:
        self._locks = locks
        self._key = key

    async def __aenter__(self) -> None:
        caller = _running()
        lock = self._locks.get(self._key)
        if lock is None:
            self._locks[self._key] = KeyLock(caller)
            return
        if caller is not None and lock.holder == caller:
            raise UsageError(f"{caller!r} holds the lock of {self._key!r} already: it would wait for itself")
        turn = _core.current_scheduler().promise()
        lock.waiting.append((turn, caller))
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # our turn came, and so did our end
                self._pass_on()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        """Let the first in who still waits. Nothing here waits: a process that is being ended may be running it."""
        lock = self._locks[self._key]
        while lock.waiting:
            turn, caller = lock.waiting.popleft()
            if not turn.done():
                lock.holder = caller
                turn.reply(None)
                return
        del self._locks[self._key]


def _running() -> Pid | None:
    with suppress(NotInProcess):
        return _core.self()
    return None
