"""Schedulers joined in memory: the core's links without sessions, sockets or time.

    a ──CallableOutlet──> wire (a, b) ──feed_bytes──> b          a wire is a list of frames; nothing moves on its own
    a <──feed_bytes────── wire (b, a) <──CallableOutlet── b

``run()`` moves frames and turns until nothing is left; ``cut`` takes both links down, ``join`` brings a new session up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from itertools import count
from typing import Any

from zmqcluster import _core as core
from zmqcluster._ports import CallableOutlet
from zmqcluster.ids import Pid
from zmqcluster.runtime.reports import reason_of
from zmqcluster.testing.clock import VirtualLoop

DATA_HEADER_BYTES = 33


class Hooks:
    """Keeps what the core reports; a hook named in ``failing`` raises."""

    def __init__(self, world: World, node: str) -> None:
        self.world = world
        self.node = node
        self.calls: list[tuple[Any, ...]] = []
        self.failing: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("on_"):
            raise AttributeError(name)

        def hook(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            if name in self.failing:
                raise ValueError(f"{name} fails")
            return reason_of(arguments[1]) if name == "on_crash" else None

        return hook

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]

    def connect(self, node: str) -> core.Link | None:
        if "connect" in self.failing:
            raise ValueError("connect fails")
        return self.world[self.node].open_link(node) if node in self.world.may_dial else None


class Wire:
    """One direction of a session. ``room`` is how many frames it takes before it is full; None: any number."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.room: int | None = None
        self.problem: Exception | None = None

    def push(self, frame: bytes) -> bool:
        if self.problem is not None:
            raise self.problem
        if self.room is not None and len(self.frames) >= self.room:
            return False
        self.frames.append(frame)
        return True


class World:
    """Nodes on one virtual loop."""

    def __init__(self, *names: str) -> None:
        self.loop = VirtualLoop()
        self.loop._clock_resolution = 1e-6  # type: ignore[attr-defined]  # beyond 97 days a double cannot add 1e-9
        self.problems: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda loop, context: self.problems.append(context))
        self.hooks: dict[str, Hooks] = {}
        self.nodes: dict[str, core.Scheduler] = {}
        self.wires: dict[tuple[str, str], Wire] = {}
        self.may_dial = set(names)
        self._numbers = count(1)
        for name in names:
            self.start(name)

    def __getitem__(self, name: str) -> core.Scheduler:
        return self.nodes[name]

    def start(self, name: str) -> core.Scheduler:
        """A node, or its next life."""
        self.hooks[name] = Hooks(self, name)
        self.nodes[name] = core.Scheduler(self.loop, name, 100 + next(self._numbers), self.hooks[name], virtual=True)
        return self.nodes[name]

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()
        self.turn()
        self.loop.close()

    def turn(self) -> None:
        """Run the loop until only timers and frames are left."""
        for _ in range(20):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def link(self, one: str, other: str) -> core.Link:
        link = self[one].link_of(other)
        assert link is not None
        return link

    def join(self, one: str, other: str) -> None:
        """A session: pending links come up, missing ones are opened."""
        epoch = next(self._numbers) << 32
        for here, there in ((one, other), (other, one)):
            node = self[here]
            link = node.link_of(there) or node.open_link(there)
            wire = self.wires[here, there] = Wire()
            source = f"{there}>{here}".encode()
            node.link_up(link, CallableOutlet(wire.push), epoch, source, self[there].incarnation)

    def cut(self, one: str, other: str) -> None:
        """The session ends; what is on the wires is lost."""
        for here, there in ((one, other), (other, one)):
            self.wires.pop((here, there), None)
            if (link := self[here].link_of(there)) is not None:
                self[here].link_down(link, "cut")

    def deliver(self, sender: str, receiver: str, frames: list[bytes]) -> None:
        """Feed one batch."""
        self[receiver].begin_batch()
        for frame in frames:
            self[receiver].feed_bytes(f"{sender}>{receiver}".encode(), frame)
        self[receiver].end_batch()

    def move(self) -> bool:
        """Hand over what is on the wires, tell who was blocked; return whether anything moved."""
        moved = False
        for (sender, receiver), wire in list(self.wires.items()):
            frames, wire.frames = wire.frames, []
            if frames:
                self.deliver(sender, receiver, frames)
                moved = True
            if wire.room is not None and (link := self[sender].link_of(receiver)) is not None:
                link.writable()
        return moved

    def run(self) -> None:
        """Until nothing moves any more."""
        self.turn()
        while self.move():
            self.turn()
        for node in self.nodes.values():
            node.acknowledge()
        while self.move():
            self.turn()

    def sleep(self, seconds: float) -> None:
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run_forever()
        self.run()


class Mail:
    """A process that keeps all it receives."""

    def __init__(self, node: core.Scheduler, *, trap: bool = True, name: str | None = None, **spawn: Any) -> None:
        self.node = node
        self.messages: list[Any] = []
        self.orders: list[Callable[[], Any]] = []
        self.results: list[Any] = []
        self.pid: Pid = node.spawn(self._run(trap), name=name, **spawn)
        node.drain()

    async def _run(self, trap: bool) -> None:
        core.trap_exits(trap)
        while True:
            message = await core.receive()
            if isinstance(message, Order):
                self._obey(message.function)
            else:
                self.messages.append(message)

    def _obey(self, function: Callable[[], Any]) -> None:
        try:
            self.results.append(function())
        except Exception as error:
            self.results.append(error)

    def do(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Let the process call ``function``, now; return what it returned or raised."""
        self.node.deliver(self.pid, Order(lambda: function(*arguments)))
        self.node.drain()
        return self.results[-1]

    @property
    def is_alive(self) -> bool:
        return self.node.is_alive(self.pid)


class Order(core.Resident):
    """A function for a ``Mail`` to call."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function


class Echo:
    """The handlers of a server that replies with what it is asked, raises errors it is given, or holds the call."""

    def __init__(self) -> None:
        self.held: list[core.Call] = []
        self.cast: list[Any] = []
        self.info: list[Any] = []

    def handle_call(self, request: Any, caller: core.Call) -> Any:
        if request == "hold":
            self.held.append(caller)
            return core.NoReply()
        if request == "object":
            return object()
        if isinstance(request, tuple) and request[0] == "run":
            return request[1]()
        return request

    def handle_cast(self, request: Any) -> None:
        self.cast.append(request)

    def handle_info(self, message: Any) -> None:
        self.info.append(message)

    async def controlled(self, call: Any, control: Any) -> None:
        """Stop and the like are not needed here."""

    async def stopping(self, reason: Any) -> None:
        core.exit_self(reason)

    async def crashed(self, message: Any, error: BaseException) -> None:
        raise error


ECHO = core.Behaviour(
    "Echo",
    {},
    {},
    handle_call=Echo.handle_call,
    handle_cast=Echo.handle_cast,
    handle_info=Echo.handle_info,
    controlled=Echo.controlled,
    stopping=Echo.stopping,
    crashed=Echo.crashed,
)


def start_echo(node: core.Scheduler, echo: Echo | None = None, *, name: str | None = None, **options: Any) -> Pid:
    async def nothing() -> None:
        """Started."""

    pid: Pid = node.start_server(ECHO, echo or Echo(), nothing(), **options)
    node.drain()
    if name is not None:
        node.register(name, pid)
    return pid


def outcome(call: Any) -> Any:
    """What a finished call would give: its value, or the exception."""
    with contextlib.suppress(asyncio.CancelledError):
        return call.exception() or call.result()
    return asyncio.CancelledError
