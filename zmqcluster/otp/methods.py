"""Typed calls and casts: ``@call`` and ``@cast`` turn a method of a server class into its client's method.

    class Counter(GenServer):
        @call
        def add(self, amount: int) -> int: ...

    counter = await Counter.start()          # a Counter bound to the process, not the server's state
    total = await counter.add(2)             # mypy knows: int

The decorator is a descriptor. On a client handle it gives a function that sends the request; the server's own function
is kept beside it, and the core calls that one. Inside the server the plain function is ``Counter.add.function``.
"""

from __future__ import annotations

from zmqcluster._core import DEFAULT_TIMEOUT_S, BoundCall, BoundCast, CallMethod, CastMethod, call, cast

__all__ = ["DEFAULT_TIMEOUT_S", "BoundCall", "BoundCast", "CallMethod", "CastMethod", "call", "cast"]
