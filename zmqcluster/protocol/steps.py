"""What a session is told besides the peer's messages, what it asks for, and the reasons for which it ends.

Inputs are nouns or past tense, actions are orders to the driver, which performs a list of them in its order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zmqcluster.protocol.handshake import Control, Introduction, Neighbour, Refused

__all__ = [
    "Action",
    "CloseDial",
    "ConnectAsked",
    "Dial",
    "DialConnected",
    "DialLost",
    "Down",
    "End",
    "Failed",
    "Heard",
    "LeaveAsked",
    "Log",
    "SendBack",
    "SendControl",
    "Up",
]

# Reasons of Down, as they appear in NodeDown. Source: the nodedown_reason of net_kernel:monitor_nodes.
CONNECTION_CLOSED: Final = "connection_closed"  # the connection broke, or the peer ended the session
DISCONNECT: Final = "disconnect"  # disconnect() was called here
SILENCE: Final = "silence"  # no beat for Timing.silence_ms. OTP: net_tick_timeout
CUT_OFF: Final = "cut_off"  # no sign of life for Timing.unreachable_ms, though others hear it
LEFT: Final = "left"  # the peer said goodbye: it is not looked for until it comes back
INCARNATION: Final = "incarnation"  # the peer was restarted before its end was noticed
PROTOCOL_ERROR: Final = "protocol_error"  # a gap, a foreign epoch, or a frame that can't be decoded
UNREACHABLE: Final = "unreachable"  # no session came about; only in what monitor_node asked for
STOPPED: Final = "stopped"  # this node stops. OTP: net_kernel_terminated


# --- inputs


@dataclass(frozen=True, slots=True)
class ConnectAsked:
    """Somebody wants a session; the peer may be at ``endpoints``, best first."""

    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DialConnected:
    """The connection that was dialled is authenticated and takes frames."""


@dataclass(frozen=True, slots=True)
class DialLost:
    """The connection that was dialled broke, or never came about."""

    problem: str


@dataclass(frozen=True, slots=True)
class End:
    """The session is to end now, for one of the reasons above."""

    reason: str


@dataclass(frozen=True, slots=True)
class LeaveAsked:
    """This node stops: say goodbye and wait for its acknowledgement."""


# --- actions


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a connection of our own to ``endpoint``; there is none open."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class CloseDial:
    """Close our own connection; no input may come from it any more. ``lingers``: what was sent last should arrive."""

    lingers: bool = False


@dataclass(frozen=True, slots=True)
class SendControl:
    """Send ``message`` on our own connection, before anything that follows."""

    message: Control


@dataclass(frozen=True, slots=True)
class SendBack:
    """Send ``message`` against the stream of the connection ``source``: heard only while the peer is not up."""

    source: bytes
    message: Control


@dataclass(frozen=True, slots=True)
class Up:
    """The session began: data of ``epoch`` from ``source`` belongs to it."""

    epoch: int
    source: bytes
    node: Introduction
    version: int


@dataclass(frozen=True, slots=True)
class Down:
    """The session ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No session came about."""

    problem: str


@dataclass(frozen=True, slots=True)
class Log:
    """Somebody was refused, and a person may want to know."""

    refused: Refused
    by_peer: bool


@dataclass(frozen=True, slots=True)
class Heard:
    """The peer of the session tells whom it is connected to."""

    nodes: tuple[Neighbour, ...]


Action = Dial | CloseDial | SendControl | SendBack | Up | Down | Failed | Log | Heard
