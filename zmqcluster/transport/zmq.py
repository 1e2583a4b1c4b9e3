"""The transport on ZeroMQ sockets, one context per node: the only file that imports zmq.

    links    dial: a DEALER ────────────────────> the peer's ROUTER: acceptor        data and control, one frame each
             dial: a DEALER <──────reply───────── the peer's ROUTER                  only to refuse a session
    gossip   loop ──PAIR──> beat thread ──PUB───> the peers' SUB

What libzmq 4.3.5 must be kept from, each measured:
  - no receive limit and no ZMTP heartbeats on a network socket: a peer's death at the limit aborts our process
  - a fresh DEALER per dial, and IMMEDIATE: else what was meant for a dead peer goes to its successor
  - automatic routing ids only: a fixed one is black-holed after a reconnect
  - no limit on a monitor either, and always read: a full one stops the I/O thread, and with it the beats
  - IP addresses only, see ``addresses``
Flow control is therefore not here but in the links' window of unacknowledged bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import zmq
from zmq.utils import z85

from zmqcluster._beat import Beat
from zmqcluster._ports import load_library
from zmqcluster.constants import CONTROL_BYTES_MAX, DEFAULT_PORT, FRAME_BYTES_FLUSH, MESSAGE_BYTES_MAX, SETUP_MS_MAX
from zmqcluster.errors import AlreadyRunning, ConfigError, ConnectionFailed, NameInUse, UsageError
from zmqcluster.ids import NodeName
from zmqcluster.transport.acceptor import Acceptor, Doorkeeper
from zmqcluster.transport.addresses import (
    bind_address,
    check_endpoint,
    free_ports,
    is_loopback,
    resolve,
    tcp_endpoint,
)
from zmqcluster.transport.channel import MonitorEvent
from zmqcluster.transport.curve import secret_key
from zmqcluster.transport.dial import SocketDial
from zmqcluster.transport.gossip import BeatThread, Gossip
from zmqcluster.transport.interface import GOSSIP_BYTES_MAX, DialEvent, Endpoints, Handler
from zmqcluster.transport.rundir import GOSSIP_SUFFIX, LINKS_SUFFIX, NameLock, run_directory, socket_path
from zmqcluster.transport.threadbeat import ThreadBeat

try:
    from zmq.backend.cython import _zmq

    LIBRARY_PATH: str | None = _zmq.__file__  # where libzmq's functions are found
except ImportError:  # pyzmq on another backend
    LIBRARY_PATH = None

__all__ = ["ZmqTransport"]

Socket = zmq.Socket[bytes]

_log = logging.getLogger("zmqcluster.transport")

LINK_FRAMES_MAX = 8  # waiting in a DEALER: with up to 64 KiB each they keep a socket busy; the rest waits in the core
GOSSIP_FRAMES_MAX = 1_000  # waiting for the beat thread, or for one subscriber; what comes on top is lost
SOCKETS_MAX = 16_384  # of a context; a dial has three, and libzmq's default of 1,023 is 340 peers
FRAME_SLACK_BYTES = 4 * FRAME_BYTES_FLUSH  # headers, CURVE's overhead, and what a batch held before its last message
HANDSHAKE_BYTES_MAX = 4_096  # of a handshake's command or a subscription, and CURVE's overhead on any frame

EVERYWHERE: dict[int, int] = {zmq.LINGER: 0, zmq.RCVHWM: 0, zmq.HANDSHAKE_IVL: SETUP_MS_MAX}
CONNECTING: dict[int, int] = EVERYWHERE | {
    zmq.CONNECT_TIMEOUT: 500,  # else the kernel's SYN back-off: 5 s after a cut of 15 s
    zmq.RECONNECT_IVL: 100,
    zmq.RECONNECT_IVL_MAX: 2_000,
}
ACCEPTING: dict[int, int] = EVERYWHERE | {
    zmq.BACKLOG: 512,
    zmq.TCP_KEEPALIVE: 1,  # frees what a lost host has left behind, after a minute and a half
    zmq.TCP_KEEPALIVE_IDLE: 60,
    zmq.TCP_KEEPALIVE_INTVL: 10,
    zmq.TCP_KEEPALIVE_CNT: 3,
}
OPTIONS: dict[int, dict[int, int]] = {
    zmq.DEALER: CONNECTING
    | {zmq.IMMEDIATE: 1, zmq.SNDHWM: LINK_FRAMES_MAX, zmq.MAXMSGSIZE: CONTROL_BYTES_MAX + HANDSHAKE_BYTES_MAX},
    zmq.SUB: CONNECTING | {zmq.MAXMSGSIZE: GOSSIP_BYTES_MAX + HANDSHAKE_BYTES_MAX},
    zmq.ROUTER: ACCEPTING
    | {
        zmq.ROUTER_MANDATORY: 1,  # else a reply to nobody is lost without a word
        zmq.SNDHWM: LINK_FRAMES_MAX,
        zmq.MAXMSGSIZE: MESSAGE_BYTES_MAX + FRAME_SLACK_BYTES,
    },
    zmq.PUB: ACCEPTING | {zmq.SNDHWM: GOSSIP_FRAMES_MAX, zmq.MAXMSGSIZE: HANDSHAKE_BYTES_MAX},
    zmq.PAIR: {zmq.LINGER: 0, zmq.SNDHWM: GOSSIP_FRAMES_MAX, zmq.RCVHWM: GOSSIP_FRAMES_MAX},
    zmq.REP: {zmq.LINGER: 0},
}
DOOR_EVENTS = (
    MonitorEvent.ACCEPTED
    | MonitorEvent.DISCONNECTED
    | MonitorEvent.HANDSHAKE_FAILED_NO_DETAIL
    | MonitorEvent.HANDSHAKE_FAILED_PROTOCOL
    | MonitorEvent.HANDSHAKE_FAILED_AUTH
)
DIAL_EVENTS = (DOOR_EVENTS & ~MonitorEvent.ACCEPTED) | MonitorEvent.CONNECT_RETRIED | MonitorEvent.HANDSHAKE_SUCCEEDED
EVENT = struct.Struct("=HI")  # the number and the value, in native order
QUEUE_ADDRESS = "inproc://gossip"
DOOR_ADDRESS = "inproc://zeromq.zap.01"
ZAP_DOMAIN = b"zmqcluster"


def descriptor(socket: Socket) -> int:
    """Return the file descriptor to watch, for reading only."""
    fd = socket.get(zmq.FD)
    assert isinstance(fd, int)
    return fd


class ZmqChannel:
    """See ``channel.Channel``."""

    def __init__(self, socket: Socket) -> None:
        self.fd = descriptor(socket)
        self.handle = int(socket.underlying)
        self.socket = socket

    def connect(self, endpoint: str) -> None:
        self.socket.set(zmq.IPV6, int("[" in endpoint))
        self.socket.connect(endpoint)

    def disconnect(self, endpoint: str) -> None:
        self.socket.disconnect(endpoint)

    def receive(self) -> bytes | None:
        try:
            frame = self.socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        self._drop_rest()
        return frame

    def receive_from(self) -> tuple[bytes, bytes] | None:
        try:
            source = self.socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        frame = self.socket.recv(zmq.NOBLOCK) if self.socket.get(zmq.RCVMORE) else b""
        self._drop_rest()
        return source, frame

    def _drop_rest(self) -> None:
        while self.socket.get(zmq.RCVMORE):
            self.socket.recv(zmq.NOBLOCK)

    def send(self, frame: bytes) -> bool:
        return self._takes(frame) or (self.has_room() and self._takes(frame))  # see RawOutlet.push

    def _takes(self, frame: bytes) -> bool:
        try:
            self.socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def send_to(self, source: bytes, frame: bytes) -> bool:
        try:
            self.socket.send(source, zmq.NOBLOCK | zmq.SNDMORE)
            self.socket.send(frame, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno in (errno.EAGAIN, errno.EHOSTUNREACH):
                return False
            raise
        return True

    def has_room(self) -> bool:
        return bool(int(self.socket.get(zmq.EVENTS)) & zmq.POLLOUT)

    def close(self) -> None:
        self.socket.close(linger=0)


class ZmqMonitor:
    """See ``channel.Monitor``; to be closed before the socket it watches.

    Else libzmq's I/O thread could wait for ever to tell the last events to nobody.
    """

    def __init__(self, watched: Socket, socket: Socket) -> None:
        self.fd = descriptor(socket)
        self._watched = watched
        self._socket = socket

    def next(self) -> tuple[MonitorEvent, int] | None:
        try:
            event, value = EVENT.unpack(self._socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            return None
        self._socket.recv(zmq.NOBLOCK)  # our own end of the connection
        return MonitorEvent(event), value

    def close(self) -> None:
        self._watched.disable_monitor()
        self._socket.close(linger=0)


class Sockets:
    """Opens the sockets of one node, each with its options and keys; closes all that are left."""

    def __init__(self, cookie: str | bytes | None) -> None:
        self.public_key = b""
        self._keys: dict[int, bytes] = {}
        if cookie is not None:
            secret = z85.encode(secret_key(cookie))
            public = zmq.curve_public(secret)
            self.public_key = z85.decode(public)
            self._keys = {zmq.CURVE_SECRETKEY: secret, zmq.CURVE_PUBLICKEY: public, zmq.CURVE_SERVERKEY: public}
        self._context: zmq.Context[Socket] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
        self._monitors_count = 0

    def open(self, kind: int) -> Socket:
        socket = self._context.socket(kind)
        for option, value in OPTIONS[kind].items():
            socket.set(option, value)
        if self._keys and kind in (zmq.DEALER, zmq.SUB):
            for option, key in self._keys.items():
                socket.set(option, key)
        elif self._keys and kind in (zmq.ROUTER, zmq.PUB):
            socket.set(zmq.CURVE_SECRETKEY, self._keys[zmq.CURVE_SECRETKEY])
            socket.set(zmq.CURVE_SERVER, 1)
            socket.set(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
            socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # else everybody is let in when nobody is at the door
        return socket

    def monitor(self, watched: Socket, events: int) -> ZmqMonitor:
        """Begin to watch a socket that is not yet bound or connected."""
        self._monitors_count += 1
        address = f"inproc://monitor-{self._monitors_count}"
        watched.monitor(address, events)
        socket = self.open(zmq.PAIR)
        socket.set(zmq.RCVHWM, 0)
        socket.connect(address)
        return ZmqMonitor(watched, socket)

    def queue(self) -> tuple[Socket, Socket]:
        """Return the two ends of a queue between threads."""
        near, far = self.open(zmq.PAIR), self.open(zmq.PAIR)
        far.bind(QUEUE_ADDRESS)
        near.connect(QUEUE_ADDRESS)
        return near, far

    def door(self) -> Socket | None:
        """Return where libzmq asks whom to let in; without a cookie it does not ask."""
        if not self._keys:
            return None
        socket = self.open(zmq.REP)
        socket.bind(DOOR_ADDRESS)
        return socket

    def close(self) -> None:
        self._context.destroy(linger=0)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a node listens, and where others find it."""

    name: NodeName
    run_dir: Path
    bound: str
    reachable: str

    def bind(self, socket: Socket, ports: Iterable[int], suffix: str) -> tuple[str, str]:
        """Bind to the first free port and to the run directory; return how others reach it, this host's way first."""
        port = self._bind_tcp(socket, ports)
        ipc = f"ipc://{socket_path(self.run_dir, self.name, suffix)}"
        if not binds(socket, ipc):
            raise NameInUse(self.name, f"{ipc} is taken by another process")
        return ipc, tcp_endpoint(self.reachable, port)

    def _bind_tcp(self, socket: Socket, ports: Iterable[int]) -> int:
        socket.set(zmq.IPV6, int(":" in self.bound))
        problem = "no port to listen at"
        for port in ports:
            if binds(socket, tcp_endpoint(self.bound, port)):
                return port
            problem = f"port {port} of {self.bound} is taken by another process"
        raise NameInUse(self.name, problem)


def binds(socket: Socket, endpoint: str) -> bool:
    """Bind, and return whether the address was free.

    Raises:
        ConfigError: it is no address of this machine, or not for us.
    """
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise ConfigError(f"cannot listen at {endpoint}: {error.strerror}; listen= chooses another address") from error
    return True


@dataclass(frozen=True, slots=True)
class Parts:
    """What an open transport consists of; ``resources`` closes it in the reverse order of opening."""

    loop: asyncio.AbstractEventLoop
    sockets: Sockets
    acceptor: Acceptor
    gossip: Gossip
    resources: contextlib.ExitStack


class ZmqTransport:
    """See ``interface.Transport``.

    Args:
        name: of the node; others dial its host and port.
        cookie: the secret that all nodes of the cluster share; None: only processes of this host can connect.
        listen: ``host:port`` to listen at where that is not what the name says, such as ``0.0.0.0:7101``.
        run_dir: where the ipc sockets are; see ``rundir``.
        any_port: where the name has no port, take a free one instead of the default.
        unacked_ms_max: a connection whose data nobody acknowledges for so long is over; None: as the kernel likes it,
            a quarter of an hour on Linux. Who hears a peer and is not heard learns of it in no other way.
        raw: call libzmq's functions directly, where that works.
    """

    def __init__(
        self,
        name: NodeName,
        *,
        cookie: str | bytes | None,
        listen: str | None = None,
        run_dir: Path | None = None,
        any_port: bool = False,
        unacked_ms_max: int | None = None,
        raw: bool = True,
    ) -> None:
        self.name = name
        self.is_raw = raw and _can_call_libzmq()
        self._cookie = cookie
        self._listen = listen
        self._run_dir = run_dir
        self._any_port = any_port
        self._unacked_ms_max = unacked_ms_max
        self._dials: dict[SocketDial, None] = {}
        self._parts: Parts | None = None

    async def open(self, handler: Handler) -> Endpoints:
        if self._parts is not None:
            raise AlreadyRunning(f"the transport of {self.name}")
        host, port = bind_address(self._listen) if self._listen else (self.name.host, None)
        try:
            site = Site(self.name, run_directory(self._run_dir), await resolve(host), await resolve(self.name.host))
        except ConnectionFailed as error:
            raise ConfigError(f"node name {self.name!r}: {error.problem}") from error
        if self._cookie is None and not is_loopback(site.bound):
            raise ConfigError(f"{self.name} would listen at {site.bound} without a cookie: give one, or use 127.0.0.1")
        with contextlib.ExitStack() as resources:
            self._parts, endpoints = self._build(resources, site, self._ports(port), handler)
        return endpoints

    def _ports(self, listen_port: int | None) -> Iterable[int]:
        port = listen_port or self.name.port
        if port is None and self._any_port:
            return free_ports(self.name, "links")
        return (port or DEFAULT_PORT,)

    def _build(
        self, resources: contextlib.ExitStack, site: Site, ports: Iterable[int], handler: Handler
    ) -> tuple[Parts, Endpoints]:
        """Open everything; what ``resources`` holds when this raises is closed by the caller."""
        loop = asyncio.get_running_loop()
        lock = NameLock(site.run_dir, site.name)
        resources.callback(lock.release)
        lock.acquire()
        for suffix in (LINKS_SUFFIX, GOSSIP_SUFFIX):  # libzmq makes the socket files and leaves them behind
            resources.callback(socket_path(site.run_dir, site.name, suffix).unlink, missing_ok=True)
        sockets = Sockets(self._cookie)
        resources.callback(sockets.close)
        door = sockets.door()  # before anybody can knock
        router, publisher, ear = (sockets.open(kind) for kind in (zmq.ROUTER, zmq.PUB, zmq.SUB))
        near, far = sockets.queue()
        for socket in filter(None, (door, router, publisher, ear, near, far)):
            resources.callback(socket.close, linger=0)
        for socket in (router, publisher):
            keeper = Doorkeeper(loop, sockets.monitor(socket, DOOR_EVENTS), handler.on_refused)
            resources.callback(keeper.close)
        links = site.bind(router, ports, LINKS_SUFFIX)
        heard = site.bind(publisher, free_ports(self.name, "gossip"), GOSSIP_SUFFIX)
        queue = ZmqChannel(near)
        ear.subscribe(b"")
        beat = self._beat(publisher, far, door, sockets.public_key, lambda: queue.send(b""))
        gossip = Gossip(loop, queue, ZmqChannel(ear), beat, handler.on_gossip)
        resources.callback(gossip.close)
        acceptor = Acceptor(loop, ZmqChannel(router), handler.inlet, is_raw=self.is_raw)
        resources.callback(acceptor.close)
        return Parts(loop, sockets, acceptor, gossip, resources.pop_all()), Endpoints(links, heard)

    def _beat(
        self, publisher: Socket, frames: Socket, door: Socket | None, key: bytes, nudge: Callable[[], object]
    ) -> BeatThread:
        if self.is_raw:
            return Beat(publisher, frames, door, key, nudge)
        poller = zmq.Poller()
        for socket in filter(None, (frames, door)):
            poller.register(socket, zmq.POLLIN)
        return ThreadBeat(publisher, frames, door, key, nudge, poller.poll)

    def dial(
        self, endpoint: str, on_event: Callable[[DialEvent], None], on_reply: Callable[[bytes], None]
    ) -> SocketDial:
        parts = self._opened()
        check_endpoint(endpoint)
        socket = parts.sockets.open(zmq.DEALER)
        if self._unacked_ms_max is not None:
            socket.set(zmq.TCP_MAXRT, self._unacked_ms_max)
        monitor = parts.sockets.monitor(socket, DIAL_EVENTS)
        dial = SocketDial(
            parts.loop,
            endpoint,
            ZmqChannel(socket),
            monitor,
            is_raw=self.is_raw,
            on_event=on_event,
            on_reply=on_reply,
            on_closed=self._dials.pop,
        )
        self._dials[dial] = None
        return dial

    def _opened(self) -> Parts:
        if self._parts is None:
            raise UsageError(f"the transport of {self.name} is not open")
        return self._parts

    def reply(self, source: bytes, frame: bytes) -> bool:
        return self._parts is not None and self._parts.acceptor.reply(source, frame)

    def subscribe(self, endpoint: str) -> None:
        self._opened().gossip.subscribe(endpoint)

    def unsubscribe(self, endpoint: str) -> None:
        if self._parts is not None:
            self._parts.gossip.unsubscribe(endpoint)

    def publish(self, frame: bytes) -> None:
        if self._parts is not None:
            self._parts.gossip.publish(frame)

    def start_beats(self, prefix: bytes, interval_ms: int) -> None:
        self._opened().gossip.start_beats(prefix, interval_ms)

    def turned(self) -> None:
        if self._parts is not None:
            self._parts.gossip.turned()

    async def close(self) -> None:
        """Close every dial and socket; what was sent and has not left is dropped."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        while parts.acceptor.is_draining:  # we were called from the inlet: not under its feet
            await asyncio.sleep(0)
        for dial in list(self._dials):
            dial.close()
        parts.resources.close()


def _can_call_libzmq() -> bool:
    if LIBRARY_PATH is not None and load_library(LIBRARY_PATH):
        return True
    _log.warning("libzmq cannot be called directly here; pyzmq's methods are used, which makes calls slower")
    return False
