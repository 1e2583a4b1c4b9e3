"""The transport on ZeroMQ sockets, one context per node.

    links    our DEALER, one per dial ──────────> the peer's ROUTER        data and control, one frame each
             our DEALER <──────reply──────────── the peer's ROUTER        only to refuse a session
    gossip   loop ─PAIR─> beat thread ─PUB──────> the peers' SUB

What libzmq 4.3.5 must be kept from, each measured:
  - no receive limit and no ZMTP heartbeats on a network socket: a peer's death at the limit aborts our process
  - a fresh DEALER per dial, IMMEDIATE: else what was meant for a dead peer goes to its successor
  - automatic routing ids: a fixed one is black-holed after a reconnect
  - every monitor without a limit too, and always read: a full one stops the I/O thread, and with it the beats
  - IP addresses only: see ``addresses``
A descriptor of libzmq tells of a change once: it is read until nothing is left, and looked at again after each send.
Flow control is therefore not here but in the links' window of unacknowledged bytes.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import zmq
from zmq.utils import z85

from zmqcluster import _ports
from zmqcluster._beat import Beat
from zmqcluster._ports import CallableOutlet, Inlet, RawOutlet
from zmqcluster.constants import CONTROL_BYTES_MAX, DEFAULT_PORT, FRAME_BYTES_FLUSH, MESSAGE_BYTES_MAX, SETUP_MS_MAX
from zmqcluster.errors import ConfigError, ConnectionFailed, FrameTooLarge, NameInUse, UsageError
from zmqcluster.ids import NodeName
from zmqcluster.transport.addresses import (
    bind_address,
    check_endpoint,
    free_ports,
    is_loopback,
    resolve,
    tcp_endpoint,
)
from zmqcluster.transport.curve import secret_key
from zmqcluster.transport.interface import GOSSIP_BYTES_MAX, DialEvent, Endpoints, Handler
from zmqcluster.transport.probe import Probe
from zmqcluster.transport.refusals import Refusals
from zmqcluster.transport.rundir import NameLock, run_directory, socket_path
from zmqcluster.transport.threadbeat import ThreadBeat

try:
    from zmq.backend.cython import _zmq as backend
except ImportError:  # another backend of pyzmq
    backend = None

__all__ = ["ZmqDial", "ZmqTransport"]

Socket = zmq.Socket[bytes]

_log = logging.getLogger("zmqcluster.transport")

DRAIN_FRAMES_MAX = 64  # read in one turn of the loop, then others have theirs
LINK_FRAMES_MAX = 8  # waiting in a DEALER: at up to 64 KiB each enough to keep a socket busy; the rest waits in the core
GOSSIP_FRAMES_MAX = 1_000  # waiting for one subscriber, or for the beat thread; beyond it they are lost
SOCKETS_MAX = 16_384  # of a context; a dial has three, and libzmq's own limit of 1,023 is 340 peers
FRAME_SLACK_BYTES = 4 * FRAME_BYTES_FLUSH  # headers, CURVE's overhead, and what a batch held before its last message
HANDSHAKE_BYTES_MAX = 4_096  # what a PUB receives: handshakes and subscriptions

CONNECTING = {
    zmq.CONNECT_TIMEOUT: 500,  # else the kernel's SYN back-off: 5 s after a cut of 15 s
    zmq.RECONNECT_IVL: 100,
    zmq.RECONNECT_IVL_MAX: 2_000,
}
ACCEPTING = {
    zmq.BACKLOG: 512,
    zmq.TCP_KEEPALIVE: 1,  # frees what a lost host has left behind, after a minute and a half
    zmq.TCP_KEEPALIVE_IDLE: 60,
    zmq.TCP_KEEPALIVE_INTVL: 10,
    zmq.TCP_KEEPALIVE_CNT: 3,
}
EVERYWHERE = {zmq.LINGER: 0, zmq.RCVHWM: 0, zmq.HANDSHAKE_IVL: SETUP_MS_MAX}
OPTIONS: dict[zmq.SocketType, dict[int, int]] = {
    zmq.DEALER: EVERYWHERE
    | CONNECTING
    | {zmq.IMMEDIATE: 1, zmq.SNDHWM: LINK_FRAMES_MAX, zmq.MAXMSGSIZE: CONTROL_BYTES_MAX + HANDSHAKE_BYTES_MAX},
    zmq.ROUTER: EVERYWHERE
    | ACCEPTING
    | {zmq.ROUTER_MANDATORY: 1, zmq.SNDHWM: LINK_FRAMES_MAX, zmq.MAXMSGSIZE: MESSAGE_BYTES_MAX + FRAME_SLACK_BYTES},
    zmq.PUB: EVERYWHERE | ACCEPTING | {zmq.SNDHWM: GOSSIP_FRAMES_MAX, zmq.MAXMSGSIZE: HANDSHAKE_BYTES_MAX},
    zmq.SUB: EVERYWHERE | CONNECTING | {zmq.MAXMSGSIZE: GOSSIP_BYTES_MAX + HANDSHAKE_BYTES_MAX},
    zmq.PAIR: {zmq.LINGER: 0},
    zmq.REP: {zmq.LINGER: 0},
}
SERVERS = (zmq.ROUTER, zmq.PUB)
CLIENTS = (zmq.DEALER, zmq.SUB)
ZAP_DOMAIN = b"zmqcluster"

FAILURES = (
    zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_FAILED_PROTOCOL | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
)
DIAL_EVENTS = zmq.Event.CONNECT_RETRIED | zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED | FAILURES
DOOR_EVENTS = zmq.Event.ACCEPTED | zmq.Event.DISCONNECTED | FAILURES
CRYPTOGRAPHIC, MECHANISM_MISMATCH = 0x11000001, 0x11000002  # values of HANDSHAKE_FAILED_PROTOCOL
OUTCOMES = {
    zmq.Event.DISCONNECTED: DialEvent.DISCONNECTED,
    zmq.Event.HANDSHAKE_FAILED_AUTH: DialEvent.AUTH_FAILED,
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: DialEvent.HANDSHAKE_FAILED,
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: DialEvent.HANDSHAKE_FAILED,
}


def _load_libzmq() -> bool:
    path = getattr(backend, "__file__", None)
    if path is not None and _ports.load_library(path):
        return True
    _log.warning("libzmq cannot be called directly here: using pyzmq's methods, which makes calls slower")
    return False


class Sockets:
    """Opens the sockets of one node, each with its options and keys, and closes them together."""

    def __init__(self, cookie: str | bytes | None) -> None:
        self.context: zmq.Context[Socket] = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
        self.public_key = b""
        self._keys: dict[int, bytes] = {}
        self._monitors_count = 0
        if cookie is not None:
            secret = z85.encode(secret_key(cookie))
            public = zmq.curve_public(secret)
            self.public_key = z85.decode(public)
            self._keys = {zmq.CURVE_SECRETKEY: secret, zmq.CURVE_PUBLICKEY: public, zmq.CURVE_SERVERKEY: public}

    def open(self, kind: zmq.SocketType) -> Socket:
        socket = self.context.socket(kind)
        for option, value in OPTIONS[kind].items():
            socket.set(option, value)
        if self._keys and kind in SERVERS:
            socket.set(zmq.CURVE_SECRETKEY, self._keys[zmq.CURVE_SECRETKEY])
            socket.set(zmq.CURVE_SERVER, 1)
            socket.set(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
            socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without it CURVE admits everybody when nobody is at the door
        elif kind in CLIENTS:
            for option, key in self._keys.items():
                socket.set(option, key)
        return socket

    def monitor(self, watched: Socket, events: int) -> Socket:
        """Return a socket to read ``events`` of ``watched`` from."""
        self._monitors_count += 1
        address = f"inproc://monitor-{self._monitors_count}"
        watched.monitor(address, events)
        socket = self.open(zmq.PAIR)
        socket.set(zmq.RCVHWM, 0)
        socket.connect(address)
        return socket

    def close(self) -> None:
        self.context.destroy(linger=0)
