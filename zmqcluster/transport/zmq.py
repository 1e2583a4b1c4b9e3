"""The transport on ZeroMQ sockets, one context per node: the only file that imports zmq.

    links    dial: a DEALER ────────────────────> the peer's ROUTER: acceptor        data and control, one frame each
             dial: a DEALER <──────reply───────── the peer's ROUTER                  only to refuse a session
    gossip   loop ──PAIR──> beat thread ──PUB───> the peers' SUB
    knocks   UDP, see ``datagrams``

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
import functools
import logging
import os
import secrets
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import zmq
from zmq.utils import z85

from zmqcluster._beat import Beat
from zmqcluster._ports import load_library
from zmqcluster.constants import (
    CONTROL_BYTES_MAX,
    DEFAULT_PORT,
    FRAME_BYTES_FLUSH,
    LANE_BYTES,
    SETUP_MS_MAX,
    WINDOW_BYTES_MAX,
)
from zmqcluster.errors import AlreadyRunning, ConfigError, ConnectionFailed, UsageError
from zmqcluster.ids import NodeName
from zmqcluster.transport.acceptor import Acceptor
from zmqcluster.transport.addresses import (
    bind_address,
    check_endpoint,
    free_ports,
    is_loopback,
    resolve,
    tcp_address,
    tcp_endpoint,
)
from zmqcluster.transport.allow import accept_filters
from zmqcluster.transport.channel import MonitorEvent
from zmqcluster.transport.curve import Key
from zmqcluster.transport.datagrams import Datagrams
from zmqcluster.transport.dial import SocketDial
from zmqcluster.transport.doorkeeper import DOOR_EVENTS, Doorkeeper
from zmqcluster.transport.ear import EAR_EVENTS, Ear
from zmqcluster.transport.entrance import Entrance, Site
from zmqcluster.transport.gossip import BeatThread, Gossip
from zmqcluster.transport.interface import GOSSIP_BYTES_MAX, Dial, DialEvent, Endpoints, Handler
from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.listen import BACKLOG
from zmqcluster.transport.proof import Identity
from zmqcluster.transport.rundir import GOSSIP_SUFFIX, LINKS_SUFFIX, NameLock, run_directory, socket_path
from zmqcluster.transport.secured import SecuredDial
from zmqcluster.transport.security import Security
from zmqcluster.transport.threadbeat import ThreadBeat
from zmqcluster.transport.ticket import TICKET_USER, ticket
from zmqcluster.transport.ticketdoor import TicketDoor
from zmqcluster.transport.ways import Encryption, Mechanism, Way

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
HANDSHAKE_BYTES_MAX = 4_096  # of a handshake's command or a subscription, and CURVE's overhead on any frame
# What is long is sent in parts of a fourth of a window. Also what a stranger can make libzmq allocate by one command.
FRAME_BYTES_MAX = WINDOW_BYTES_MAX // 4 + HANDSHAKE_BYTES_MAX

assert FRAME_BYTES_FLUSH + LANE_BYTES < FRAME_BYTES_MAX // 2  # no batch is longer when it is cut

EVERYWHERE: dict[int, int] = {zmq.LINGER: 0, zmq.RCVHWM: 0, zmq.HANDSHAKE_IVL: SETUP_MS_MAX}
CONNECTING: dict[int, int] = EVERYWHERE | {
    zmq.CONNECT_TIMEOUT: 500,  # else the kernel's SYN back-off: 5 s after a cut of 15 s
    zmq.RECONNECT_IVL: 100,
    zmq.RECONNECT_IVL_MAX: 2_000,
}
ACCEPTING: dict[int, int] = EVERYWHERE | {
    zmq.BACKLOG: BACKLOG,
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
        zmq.MAXMSGSIZE: FRAME_BYTES_MAX,
    },
    zmq.PUB: ACCEPTING | {zmq.SNDHWM: GOSSIP_FRAMES_MAX, zmq.MAXMSGSIZE: HANDSHAKE_BYTES_MAX},
    zmq.PAIR: {zmq.LINGER: 0, zmq.SNDHWM: GOSSIP_FRAMES_MAX, zmq.RCVHWM: GOSSIP_FRAMES_MAX},
    zmq.REP: {zmq.LINGER: 0},
}
DIAL_EVENTS = (
    (DOOR_EVENTS & ~MonitorEvent.ACCEPTED)
    | MonitorEvent.CONNECTED
    | MonitorEvent.CONNECT_RETRIED
    | MonitorEvent.HANDSHAKE_SUCCEEDED
)
EVENT = struct.Struct("=HI")  # the number and the value, in native order
QUEUE_ADDRESS = "inproc://gossip"
DOOR_ADDRESS = "inproc://zeromq.zap.01"
LINKS_DOMAIN, GOSSIP_DOMAIN = b"zmqcluster links", b"zmqcluster gossip"  # of ZAP: which of the sockets it is about
NUMBER_BYTES = 16


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
        with contextlib.suppress(zmq.ZMQError):  # libzmq has forgotten it, after a failed handshake
            self.socket.disconnect(endpoint)

    def bind(self, endpoint: str, fd: int) -> None:
        """See ``entrance.Bindable``; ``fd`` is libzmq's from now on, or closed."""
        self.socket.set(zmq.IPV6, int("[" in endpoint))
        self.socket.set(zmq.USE_FD, fd)
        try:
            self.socket.bind(endpoint)
        except zmq.ZMQError as error:
            if fd >= 0:
                os.close(fd)
            raise OSError(error.errno, error.strerror) from error
        finally:
            self.socket.set(zmq.USE_FD, -1)

    def receive(self) -> bytes | None:
        if not int(self.socket.get(zmq.EVENTS)) & zmq.POLLIN:  # an exception would cost ten times as much
            return None
        frame = self.socket.recv(zmq.NOBLOCK)
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
        self.endpoint = ""
        self._watched = watched
        self._socket = socket

    def next(self) -> tuple[MonitorEvent, int] | None:
        try:
            event, value = EVENT.unpack(self._socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            return None
        self.endpoint = self._socket.recv(zmq.NOBLOCK).decode()
        return MonitorEvent(event), value

    def close(self) -> None:
        self._watched.disable_monitor()
        self._socket.close(linger=0)


class ZmqDoor:
    """See ``channel.Door``."""

    def __init__(self, socket: Socket) -> None:
        self.fd = descriptor(socket)
        self._socket = socket

    def next(self) -> list[bytes] | None:
        try:
            return self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None

    def answer(self, frames: list[bytes]) -> None:
        self._socket.send_multipart(frames)


@functools.lru_cache(maxsize=64)
def curve_pair(key: Key) -> tuple[bytes, bytes]:
    """Return the secret and the public key as libzmq takes them."""
    secret = z85.encode(key.curve)
    return secret, zmq.curve_public(secret)


def public_keys(keys: Iterable[Key]) -> bytes:
    """Return the public keys as they appear at the door, one after the other."""
    return b"".join(z85.decode(curve_pair(key)[1]) for key in keys)


def secure_client(socket: Socket, way: Way, domain: bytes) -> None:
    """Let the next connection of ``socket`` go ``way``, to the door of ``domain``."""
    if way.key is None:
        return
    if way.mechanism is Mechanism.CURVE:
        secret, public = curve_pair(way.key)
        socket.set(zmq.CURVE_SECRETKEY, secret)
        socket.set(zmq.CURVE_PUBLICKEY, public)
        socket.set(zmq.CURVE_SERVERKEY, public)
    else:
        stamp_ms = time.time_ns() // 1_000_000
        socket.set(zmq.PLAIN_USERNAME, TICKET_USER)
        socket.set(zmq.PLAIN_PASSWORD, ticket(way.key, domain, stamp_ms, secrets.token_bytes(NUMBER_BYTES)))


def secure_server(socket: Socket, way: Way, domain: bytes) -> None:
    """Let those who come from the next ``bind`` on be asked for ``way``."""
    if way.key is None:
        return
    if way.mechanism is Mechanism.CURVE:
        socket.set(zmq.CURVE_SECRETKEY, curve_pair(way.key)[0])
        socket.set(zmq.CURVE_SERVER, 1)
    else:
        socket.set(zmq.PLAIN_SERVER, 1)
    socket.set(zmq.ZAP_DOMAIN, domain)
    socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # else everybody is let in when nobody is at the door


class Sockets:
    """Opens the sockets of one node, each with its options; closes all that are left."""

    def __init__(self) -> None:
        self._context: zmq.Context[Socket] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
        self._monitors_count = 0

    def open(self, kind: int) -> Socket:
        """Raises OSError: there are no descriptors left."""
        try:
            socket = self._context.socket(kind)
        except zmq.ZMQError as error:
            raise OSError(error.errno, error.strerror) from error
        for option, value in OPTIONS[kind].items():
            socket.set(option, value)
        return socket

    def monitor(self, watched: Socket, events: int) -> ZmqMonitor:
        """Begin to watch a socket that is not yet bound or connected. Raises OSError, as ``open``."""
        self._monitors_count += 1
        address = f"inproc://monitor-{self._monitors_count}"
        socket = self.open(zmq.PAIR)
        try:
            watched.monitor(address, events)
        except zmq.ZMQError as error:
            socket.close(linger=0)
            raise OSError(error.errno, error.strerror) from error
        socket.set(zmq.RCVHWM, 0)
        socket.connect(address)
        return ZmqMonitor(watched, socket)

    def queue(self) -> tuple[Socket, Socket]:
        """Return the two ends of a queue between threads."""
        near, far = self.open(zmq.PAIR), self.open(zmq.PAIR)
        far.bind(QUEUE_ADDRESS)
        near.connect(QUEUE_ADDRESS)
        return near, far

    def door(self) -> Socket:
        """Return where libzmq asks whom to let in."""
        socket = self.open(zmq.REP)
        socket.bind(DOOR_ADDRESS)
        return socket

    def close(self) -> None:
        self._context.destroy(linger=0)


@dataclass(frozen=True, slots=True)
class Accepting:
    """A socket that others connect to, and where it listens."""

    socket: Socket
    domain: bytes
    entrance: Entrance

    def listen_as(self, way: Way) -> None:
        """Ask those who come from now on for ``way``."""
        secure_server(self.socket, way, self.domain)
        self.entrance.renew()


@dataclass(frozen=True, slots=True)
class Parts:
    """What an open transport consists of; ``resources`` closes it in the reverse order of opening."""

    loop: asyncio.AbstractEventLoop
    sockets: Sockets
    acceptor: Acceptor
    gossip: Gossip
    accepting: tuple[Accepting, Accepting]  # links, gossip
    datagrams: Datagrams
    resources: contextlib.ExitStack


class Opening:
    """Opens the parts of a transport one by one, each to be closed by ``resources``, also after an error."""

    def __init__(
        self, site: Site, security: Security, handler: Handler, resources: contextlib.ExitStack, *, is_raw: bool
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.resources = resources
        self.lock = NameLock(site.run_dir, site.name)
        resources.callback(self.lock.release)
        self.lock.acquire()
        for suffix in (LINKS_SUFFIX, GOSSIP_SUFFIX):  # libzmq makes the socket files and leaves them behind
            resources.callback(socket_path(site.run_dir, site.name, suffix).unlink, missing_ok=True)
        self.sockets = Sockets()
        resources.callback(self.sockets.close)
        self._site = site
        self._security = security
        self._handler = handler
        self._is_raw = is_raw

    def socket(self, kind: int) -> Socket:
        return self._closed_at_end(self.sockets.open(kind))

    def _closed_at_end(self, socket: Socket) -> Socket:
        self.resources.callback(socket.close, linger=0)
        return socket

    def door(self) -> Socket | None:
        """Where libzmq asks whom to let in; it does so only where there is a cookie."""
        return self._closed_at_end(self.sockets.door()) if self._security.keyring else None

    def ticket_door(self, door: Socket | None) -> TicketDoor | None:
        """Who answers there, where that is not the beat thread."""
        if door is None or self._security.tickets is None:
            return None
        ticket_door = TicketDoor(self.loop, ZmqDoor(door), self._security.tickets)
        self.resources.callback(ticket_door.close)
        return ticket_door

    def accepting(self, kind: int, domain: bytes, suffix: str, ticket_door: TicketDoor | None) -> Accepting:
        """A socket to be opened to others, with somebody who watches who comes."""
        socket = self.socket(kind)
        secure_server(socket, self._security.listening(), domain)
        for network in accept_filters(self._security.networks, self._site.bound):
            socket.set(zmq.IPV6, int(":" in self._site.bound))
            socket.set(zmq.TCP_ACCEPT_FILTER, network.encode())
        entrance = Entrance(ZmqChannel(socket), self._site, suffix)
        self.resources.callback(entrance.close)
        keeper = Doorkeeper(
            self.loop,
            partial(self.sockets.monitor, socket),
            self._handler.on_refused,
            mechanism=self._security.mechanism,
            networks=", ".join(map(str, self._security.networks)),
            why=(lambda: ticket_door.last_problem) if ticket_door else None,
        )
        self.resources.callback(keeper.close)
        return Accepting(socket, domain, entrance)

    def gossip(self, publisher: Socket, door: Socket | None) -> Gossip:
        heard, (near, far) = self.socket(zmq.SUB), self.sockets.queue()
        for socket in (near, far):
            self._closed_at_end(socket)
        monitor = self.sockets.monitor(heard, EAR_EVENTS)
        self.resources.callback(monitor.close)
        heard.subscribe(b"")
        channel, queue = ZmqChannel(heard), ZmqChannel(near)
        secure = partial(secure_client, heard, domain=GOSSIP_DOMAIN)
        ear = Ear(self.loop, channel, monitor, secure, self._security.dialling)
        beat = self._beat(publisher, far, door, lambda: queue.send(b""))
        gossip = Gossip(self.loop, queue, channel, ear, beat, self._handler.on_gossip)
        self.resources.callback(gossip.close)
        return gossip

    def _beat(
        self, publisher: Socket, frames: Socket, door: Socket | None, nudge: Callable[[], object]
    ) -> BeatThread:
        keyring = self._security.keyring
        keys = public_keys(keyring.keys) if door and keyring else b""
        if self._is_raw:
            return Beat(publisher, frames, door, keys, nudge)
        poller = zmq.Poller()
        for socket in filter(None, (frames, door)):
            poller.register(socket, zmq.POLLIN)
        return ThreadBeat(publisher, frames, door, keys, nudge, poller.poll)

    def datagrams(self, links: tuple[str, ...]) -> Datagrams:
        """Beside the port of the links."""
        (port,) = (address[1] for endpoint in links if (address := tcp_address(endpoint)))
        datagrams = Datagrams(
            self.loop,
            tcp_endpoint(self._site.bound, port),
            self._handler.on_datagram,
            self._security.networks,
            self._security.sealer,
            self._handler.on_refused,
        )
        self.resources.callback(datagrams.close)
        return datagrams

    def acceptor(self, router: Socket) -> Acceptor:
        acceptor = Acceptor(self.loop, ZmqChannel(router), self._handler.inlet, is_raw=self._is_raw)
        self.resources.callback(acceptor.close)
        return acceptor


class ZmqTransport:
    """See ``interface.Transport``.

    Args:
        name: of the node; others dial its host and port.
        cookie: the secret that all nodes of the cluster share, or a keyring; None: only this host can connect.
        listen: ``host:port`` to listen at where that is not what the name says, such as ``0.0.0.0:7101``.
        run_dir: where the ipc sockets are; see ``rundir``.
        any_port: where the name has no port, take a free one instead of the default.
        unacked_ms_max: a connection whose data nobody acknowledges for so long is over; None: as the kernel likes it,
            a quarter of an hour on Linux. Who hears a peer and is not heard learns of it in no other way.
        raw: call libzmq's functions directly, where that works.
        encryption: how connections are secured; see ``ways``.
        allow: the networks that may connect; empty: all.
        incarnation: of the node, proven to peers where the connection is not encrypted.
    Raises:
        ConfigError: the cookie is empty, ``encryption`` or ``allow`` malformed.
    """

    def __init__(
        self,
        name: NodeName,
        *,
        cookie: str | bytes | Keyring | None,
        listen: str | None = None,
        run_dir: Path | None = None,
        any_port: bool = False,
        unacked_ms_max: int | None = None,
        raw: bool = True,
        encryption: Encryption = "curve",
        allow: Sequence[str] = (),
        incarnation: int = 0,
    ) -> None:
        keyring = cookie if cookie is None or isinstance(cookie, Keyring) else Keyring(cookie)
        self.name = name
        self.is_raw = raw and _can_call_libzmq()
        self._security = Security(Identity(name, incarnation), keyring, encryption, allow)
        self._listen = listen
        self._run_dir = run_dir
        self._any_port = any_port
        self._unacked_ms_max = unacked_ms_max
        self._dials: dict[SocketDial, None] = {}
        self._listening: Way | None = None
        self._parts: Parts | None = None

    # --- open and close

    async def open(self, handler: Handler) -> Endpoints:
        if self._parts is not None:
            raise AlreadyRunning(f"the transport of {self.name}")
        host, port = bind_address(self._listen) if self._listen else (self.name.host, None)
        try:
            site = Site(self.name, run_directory(self._run_dir), await resolve(host), await resolve(self.name.host))
        except ConnectionFailed as error:
            raise ConfigError(f"node name {self.name!r}: {error.problem}") from error
        if self._security.keyring is None and not is_loopback(site.bound):
            raise ConfigError(f"{self.name} would listen at {site.bound} without a cookie: give one, or use 127.0.0.1")
        with contextlib.ExitStack() as resources:
            opening = Opening(site, self._security, handler, resources, is_raw=self.is_raw)
            self._parts, endpoints = self._build(opening, self._ports(port))
        return endpoints

    def _ports(self, listen_port: int | None) -> Iterable[int]:
        port = listen_port or self.name.port
        if port is None and self._any_port:
            return free_ports(self.name, "links")
        return (port or DEFAULT_PORT,)

    def _build(self, opening: Opening, ports: Iterable[int]) -> tuple[Parts, Endpoints]:
        """Open everything; what ``opening.resources`` holds when this raises is closed by the caller."""
        door = opening.door()  # before anybody can knock
        ticket_door = opening.ticket_door(door)
        links = opening.accepting(zmq.ROUTER, LINKS_DOMAIN, LINKS_SUFFIX, ticket_door)
        gossip = opening.accepting(zmq.PUB, GOSSIP_DOMAIN, GOSSIP_SUFFIX, ticket_door)
        endpoints = Endpoints(links.entrance.open(ports), gossip.entrance.open(free_ports(self.name, "gossip")))
        opening.lock.note(" ".join(endpoints.links), has_cookie=self._security.keyring is not None)
        channel = opening.gossip(gossip.socket, None if ticket_door else door)
        acceptor, datagrams = opening.acceptor(links.socket), opening.datagrams(endpoints.links)
        if keyring := self._security.keyring:
            self._listening = self._security.listening()
            opening.resources.callback(keyring.watch(self._on_keys))
        resources = opening.resources.pop_all()
        parts = Parts(opening.loop, opening.sockets, acceptor, channel, (links, gossip), datagrams, resources)
        return parts, endpoints

    def _on_keys(self) -> None:
        """The keyring has changed: whom to admit, and perhaps the key to listen with."""
        parts, keyring, way = self._opened(), self._security.keyring, self._security.listening()
        if keyring is None or way.mechanism is not Mechanism.CURVE:
            return  # tickets and proofs ask the keyring each time
        parts.gossip.admit(public_keys(keyring.keys))
        if way != self._listening:
            self._listening = None  # known again when both listen
            for accepting in parts.accepting:
                accepting.listen_as(way)
            self._listening = way

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

    def _opened(self) -> Parts:
        if self._parts is None:
            raise UsageError(f"the transport of {self.name} is not open")
        return self._parts

    # --- links

    def dial(
        self, endpoint: str, on_event: Callable[[DialEvent], None], on_reply: Callable[[bytes], None], node: str = ""
    ) -> Dial:
        self._opened()
        check_endpoint(endpoint)
        ways = self._security.dialling(node)
        if len(ways) == 1 and ways[0].mechanism is not Mechanism.CHALLENGE:
            return self._connect(endpoint, ways[0], on_event, on_reply)
        connect, was_good = partial(self._connect, endpoint), partial(self._security.was_good, node)
        return SecuredDial(connect, ways, self._security.own, on_event, on_reply, was_good)

    def _connect(
        self, endpoint: str, way: Way, on_event: Callable[[DialEvent], None], on_reply: Callable[[bytes], None]
    ) -> SocketDial:
        parts = self._opened()
        socket = parts.sockets.open(zmq.DEALER)
        try:
            secure_client(socket, way, LINKS_DOMAIN)
            if self._unacked_ms_max is not None:
                socket.set(zmq.TCP_MAXRT, self._unacked_ms_max)
            monitor = parts.sockets.monitor(socket, DIAL_EVENTS)
        except BaseException:
            socket.close(linger=0)
            raise
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

    def reply(self, source: bytes, frame: bytes) -> bool:
        return self._parts is not None and self._parts.acceptor.reply(source, frame)

    def admits(self, source: bytes, frame: bytes) -> bool:
        return self._security.admits(source, frame, self.reply)

    def identity(self, source: bytes) -> tuple[str, int] | None:
        return self._security.identity(source)

    # --- gossip

    def subscribe(self, endpoint: str, node: str = "") -> None:
        self._opened().gossip.subscribe(endpoint, node)

    def unsubscribe(self, endpoint: str) -> None:
        if self._parts is not None:
            self._parts.gossip.unsubscribe(endpoint)

    def publish(self, frame: bytes) -> None:
        if self._parts is not None:
            self._parts.gossip.publish(frame)

    def knock(self, endpoint: str, datagram: bytes) -> None:
        if self._parts is not None:
            self._parts.datagrams.send(endpoint, datagram)

    def start_beats(self, prefix: bytes, interval_ms: int) -> None:
        self._opened().gossip.start_beats(prefix, interval_ms)

    def turned(self) -> None:
        if self._parts is not None:
            self._parts.gossip.turned()


def _can_call_libzmq() -> bool:
    if LIBRARY_PATH is not None and load_library(LIBRARY_PATH):
        return True
    _log.warning("libzmq cannot be called directly here; pyzmq's methods are used, which makes calls slower")
    return False
