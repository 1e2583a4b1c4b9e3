"""What a dynamic supervisor knows of the children it is asked to start, until each has started or failed.

    Order(specs) ──> Request: results by position, how many are taken up, how many known ──> one reply when all are
                        └── Starting: a child whose init has not returned, and whose place in the request it has

Invariant: a request replies exactly once, when ``known_count`` has reached the number of its children.
"""

from __future__ import annotations

from dataclasses import dataclass

from zmqcluster._core import Resident
from zmqcluster._ids import Pid
from zmqcluster.core import Call
from zmqcluster.errors import SupervisionError
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.children import ChildEntry

__all__ = ["Order", "Request", "Result", "Results", "Starting"]

Result = Pid | None | SupervisionError


@dataclass(frozen=True, slots=True)
class Order(Resident):
    """A request to start children."""

    specs: tuple[ChildSpec, ...]
    is_batch: bool


@dataclass(frozen=True, slots=True)
class Results(Resident):
    """What became of each child of a batch."""

    results: list[Result]


@dataclass(slots=True)
class Request(Resident):
    """An order under way: ``taken_count`` children were launched or refused, ``known_count`` started or failed."""

    caller: Call
    order: Order
    results: list[Result]
    taken_count: int = 0
    known_count: int = 0

    def settle(self, position: int, result: Result) -> None:
        self.results[position] = result
        self.known_count += 1
        if self.known_count < len(self.results):
            return
        if self.order.is_batch:
            self.caller.reply(Results(self.results))
        elif isinstance(result, SupervisionError):
            self.caller.fail(result)
        else:
            self.caller.reply(result)


@dataclass(slots=True, eq=False)
class Starting(ChildEntry):
    """A child whose init has not returned, or which is to be tried again.

    ``request`` is who waits for its first start, ``known_as`` the pid of a restarting child when it last ran.
    """

    request: Request | None = None
    position: int = 0
    known_as: Pid | None = None

    def tell(self, result: Result) -> None:
        if self.request is not None:
            self.request.settle(self.position, result)
