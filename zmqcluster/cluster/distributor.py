"""The two legs of a broadcast: one message to each node, and there to everybody.

    distribute ──> Distributor on b ──> P1, P2, P3
            ├────> Distributor on c ──> P4
            └────> P5, P6 here

However many get it, a message crosses a link once. Who gets it on a node is decided there, when it arrives.
Invariant: what one process broadcasts comes to each receiver in that order, for on every node it passes one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from zmqcluster import _core
from zmqcluster.core import message
from zmqcluster.errors import LinkBusy, MailboxFull
from zmqcluster.ids import Pid
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.runtime.process import send

__all__ = ["Distributor", "Fanout", "deliver_to_all", "distribute"]


@message(tag="fanout")
@dataclass(frozen=True, slots=True)
class Fanout:
    """``message`` for everybody behind ``key`` on the node where this arrives, but for the process ``skipped``."""

    key: Any
    message: Any
    skipped: Pid | None = None


class Distributor(GenServer):
    """Hands out on its node what was broadcast on others. ``receivers`` answers who is behind a key."""

    def init(self, receivers: Callable[[Any], Iterable[Pid]]) -> None:
        self._receivers = receivers

    def handle_info(self, message: Any) -> None:
        if isinstance(message, Fanout):
            deliver_to_all(self._receivers(message.key), message.message, message.skipped)
        else:
            super().handle_info(message)


def deliver_to_all(pids: Iterable[Pid], message: Any, skipped: Pid | None = None) -> None:
    """Send to processes of this node, as often as each is named; a mailbox that refuses concerns nobody else."""
    deliver = _core.current_scheduler().deliver
    for pid in pids if skipped is None else [pid for pid in pids if pid != skipped]:
        try:
            deliver(pid, message)
        except MailboxFull:
            continue


def distribute(name: str, nodes: Iterable[str], pids: Iterable[Pid], fanout: Fanout) -> None:
    """Send to the distributors ``name`` on ``nodes``, and to ``pids``, processes of this node.

    Raises:
        EncodeError, FrameTooLarge: it cannot be sent; nobody gets it.
        LinkBusy: nobody on that node gets it; all others do.
    """
    busy: LinkBusy | None = None
    for node in nodes:
        try:
            send((name, node), fanout)
        except LinkBusy as error:
            busy = error
    deliver_to_all(pids, fanout.message, fanout.skipped)
    if busy is not None:
        raise busy
