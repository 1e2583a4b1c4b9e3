"""Application: a supervision tree with a name, and the applications it needs started before it.

    class Ledger(Application):
        children = [Journal, Accounts]

    class Finance(Application):
        depends_on = [Ledger]                    # Ledger first; they stop in the reverse order
        children = [DonationRouter]

    zc.run(Finance, name="finance@10.0.0.5")     # both, until a signal comes; or: await Finance.ensure_started()

``restart`` says what the end of its tree means: ``permanent`` ends the node, ``transient`` does unless the reason is
Normal, ``temporary`` is only logged. To stop it with ``stop`` never ends the node. Source: OTP application.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, get_args

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.errors import AlreadyStarted, ConfigError
from zmqcluster.otp.application_controller import Applications, StartOrder, running_applications
from zmqcluster.otp.backoff import Backoff
from zmqcluster.otp.child_spec import Child, Restart
from zmqcluster.otp.children import Strategy

__all__ = ["Application", "start_order"]


class Application:
    """Base of applications. An instance is one start of it, with the arguments of that start."""

    is_supervisor: ClassVar[bool] = True  # for ``zc.run``
    children: ClassVar[Sequence[Child]] = ()
    depends_on: ClassVar[Sequence[type[Application]]] = ()
    strategy: ClassVar[Strategy] = "one_for_one"
    max_restarts: ClassVar[int] = 3
    max_seconds: ClassVar[float] = 5.0
    backoff: ClassVar[Backoff | None] = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    # --- callbacks
    def tree(self) -> Iterable[Child]:
        """The children; override it where they depend on ``self.arguments``."""
        return self.children

    def stopping(self) -> Any:
        """Called before the tree is stopped in order; may be async."""

    def stopped(self) -> Any:
        """Called when the tree has ended, for whatever reason; may be async."""

    # --- start and stop
    @classmethod
    async def start(cls, *arguments: Any, restart: Restart = "temporary") -> Pid:
        """Start it and return the pid of its supervisor.

        Raises:
            StartFailed: a child did not start, or ``("not_started", name)``: an application it depends on does not run.
            AlreadyStarted: it runs.
        Source: application:start/2.
        """
        await _order(await _controller(), [cls(*arguments)], restart, ensures=False)
        return running_applications()[cls.name_of()]

    @classmethod
    async def ensure_started(cls, *arguments: Any, restart: Restart = "temporary") -> list[type[Application]]:
        """Start it, and before it whatever it depends on; return those that did not run yet, in their order.

        Raises:
            StartFailed: one of them did not start; those that this call had started are stopped again.
            ConfigError: they depend on each other in a circle.
        Source: application:ensure_all_started/2.
        """
        return await _ensure(await _controller(), cls, arguments, restart)

    @classmethod
    def name_of(cls) -> str:
        """How reports and errors call it."""
        return cls.__qualname__

    @classmethod
    async def stop(cls) -> None:
        """Stop it, within the time-outs of its children; what depends on it runs on.

        Raises:
            NotRegistered: it does not run.
        Source: application:stop/1.
        """
        await (await _controller()).stop_one.within(None)(cls.name_of())

    @classmethod
    def whereis(cls) -> Pid | None:
        """The supervisor of this application on this node, or None when it does not run."""
        return running_applications().get(cls.name_of())

    @classmethod
    async def start_link(cls, *arguments: Any) -> Applications:
        """Start it permanently, with all it depends on, as the program of a node: this is what ``zc.run`` calls."""
        controller = await Applications.start_link(name=CONTROLLER)
        await _ensure(controller, cls, arguments, "permanent")
        return controller


CONTROLLER = "zmqcluster.applications"


async def _controller() -> Applications:
    """The controller of this node, started now if this is the first application."""
    with suppress(AlreadyStarted):
        await Applications.start(name=CONTROLLER)
    return Applications.at(CONTROLLER)


async def _ensure(
    controller: Applications, application: type[Application], arguments: tuple[Any, ...], restart: Restart
) -> list[type[Application]]:
    order = start_order(application)
    starts = [each(*arguments) if each is application else each() for each in order]
    started = await _order(controller, starts, restart, ensures=True)
    return [each for each in order if each.name_of() in started]


async def _order(
    controller: Applications, applications: list[Application], restart: Restart, *, ensures: bool
) -> list[str]:
    if restart not in get_args(Restart):
        raise ConfigError(f"restart is one of {get_args(Restart)}, not {restart!r}")
    starts = tuple([(application.name_of(), application) for application in applications])
    order = StartOrder(starts, restart, ensures)
    started: list[str] = await _core.current_scheduler().call(controller.dest, order, None)
    return started


def start_order(application: type[Application]) -> list[type[Application]]:
    """``application`` after all that it depends on, each once. Raises ConfigError for a circle, naming it."""
    order: list[type[Application]] = []

    def visit(each: type[Application], path: tuple[type[Application], ...]) -> None:
        if not (isinstance(each, type) and issubclass(each, Application)):
            raise ConfigError(f"{path[-1].__qualname__} depends on {each!r}, which is no Application class")
        if each in path:
            circle = " -> ".join(part.__qualname__ for part in (*path[path.index(each) :], each))
            raise ConfigError(f"applications depend on each other: {circle}")
        if each in order:
            return
        for needed in each.depends_on:
            visit(needed, (*path, each))
        order.append(each)

    visit(application, ())
    return order
