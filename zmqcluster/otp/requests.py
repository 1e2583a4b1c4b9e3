"""Ask many servers at once: the server of a name on many nodes, or any servers, and take the replies as they come.

    replies, bad = await multi_call(["a@10.0.0.5", "b@10.0.0.6"], "stock", ("count", "apples"), timeout_s=1.0)

    requests = Requests()
    for shard in shards:
        requests.add(send_request(shard, "sum", label=shard))
    while requests:
        shard, total = await requests.receive(timeout_s=5.0)

Rule: a request is in exactly one place: awaited by itself, or in one collection. A request that was given up gets no
reply any more: the late one vanishes before any mailbox.
Source: gen_server multi_call, abcast, send_request, reqids_*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from functools import partial
from typing import Any

from zmqcluster import _core
from zmqcluster.core import Call
from zmqcluster.errors import CallingSelf, ConnectionFailed, ProcessError, RequestFailed, UsageError
from zmqcluster.otp.methods import DEFAULT_TIMEOUT_S
from zmqcluster.runtime.current import node
from zmqcluster.runtime.process import Destination

__all__ = ["Request", "Requests", "abcast", "multi_call", "send_request"]


async def multi_call(
    nodes: Iterable[str] | None, name: str, request: Any, timeout_s: float | None = DEFAULT_TIMEOUT_S
) -> tuple[list[tuple[str, Any]], list[str]]:
    """Ask the servers called ``name`` on ``nodes``, all at the same time.

    Args:
        nodes: their names, ours may be one; None: this node and all that are connected.
        request: for their handle_call.
        timeout_s: for all of it; None waits until every server has replied or ended.
    Returns:
        (node, reply) of those that replied, and the nodes that did not: not reachable, no such server, it ended or
        refused, or took too long. Both in the order of ``nodes``.
    Raises:
        EncodeError: the request cannot be sent; some servers may have it.
        CallingSelf: the caller is one of the servers.
    """
    asked = [(each, send_request((name, each), request, timeout_s=timeout_s)) for each in _named(nodes)]
    replies: list[tuple[str, Any]] = []
    bad: list[str] = []
    try:
        for each, asking in asked:
            try:
                replies.append((each, await asking))
            except Exception:
                bad.append(each)
    finally:
        for _, asking in asked:
            asking.abandon()
    return replies, bad


def abcast(nodes: Iterable[str] | None, name: str, request: Any) -> None:
    """Cast ``request`` to the servers called ``name`` on ``nodes``; returns at once, whoever is there.

    Args:
        nodes: as for ``multi_call``.
    """
    scheduler = _core.current_scheduler()
    for each in _named(nodes):
        scheduler.cast((name, each), request)


def _named(nodes: Iterable[str] | None) -> list[str]:
    if nodes is None:
        return [_core.current_scheduler().node, *node().nodes()]
    return [str(each) for each in nodes]


class Request:
    """A call that was made and is not awaited yet: ``await`` it, or ``add`` it to a collection."""

    __slots__ = ("_call", "_is_collected", "dest", "label")

    def __init__(self, dest: Destination, call: Call, label: Any) -> None:
        self.dest = dest
        self.label = label
        self._call = call
        self._is_collected = False

    def __await__(self) -> Generator[Any, Any, Any]:
        """The reply. Raises what ``call`` raises, but no CallTimeout unless the request has a time-out."""
        if self._is_collected:
            raise UsageError("the request is in a collection: receive its reply there")
        return self._outcome()

    def _outcome(self) -> Generator[Any, Any, Any]:
        return self._call.__await__()

    def _result(self) -> Any:
        """The reply that has come. Raises as the await does."""
        return self._call.result()

    def done(self) -> bool:
        """Whether it has its reply, has failed, or was abandoned."""
        return self._call.done()

    def abandon(self) -> None:
        """Want no reply any more; the server may still handle the request."""
        self._call.cancel()

    def __repr__(self) -> str:
        return f"<Request to {self.dest!r}{'' if self.label is None else f' labelled {self.label!r}'}>"


def send_request(dest: Destination, request: Any, label: Any = None, *, timeout_s: float | None = None) -> Request:
    """Ask a server's handle_call, and go on at once; the reply is awaited later, or in a collection.

    Args:
        label: what a collection tells the reply by.
        timeout_s: after this long the request has failed with CallTimeout; None: never.
    Raises:
        EncodeError: the request cannot be sent. CallingSelf: it goes to the caller.
        Nobody there, or no connection, is raised where the reply is awaited.
    Source: gen_server:send_request/2,4.
    """
    scheduler = _core.current_scheduler()
    try:
        call: Any = scheduler.call(dest, request, timeout_s)
    except CallingSelf:
        raise
    except (ProcessError, ConnectionFailed) as error:
        call = scheduler.promise(dest)
        call.fail(error)
    return Request(dest, call, label)


class Requests:
    """Requests that wait for their replies, each with a label; labels need not differ."""

    def __init__(self, requests: Iterable[Request] = ()) -> None:
        self._open: dict[Request, None] = {}
        self._done: deque[Request] = deque()
        self._waiter: Call | None = None
        for request in requests:
            self.add(request)

    def add(self, request: Request) -> Request:
        """Take ``request`` into the collection; return it. Raises UsageError when it is in one already."""
        if request._is_collected:
            raise UsageError(f"{request!r} is in a collection already")
        request._is_collected = True
        self._open[request] = None
        if request.done():
            self._on_done(request, request._call)
        else:
            request._call.add_done_callback(partial(self._on_done, request))
        return request

    def __len__(self) -> int:
        """How many replies are still to be taken."""
        return len(self._open)

    def labels(self) -> list[Any]:
        """The labels of the replies still to be taken, in the order of adding."""
        return [request.label for request in self._open]

    async def receive(self, timeout_s: float | None = None) -> tuple[Any, Any]:
        """The label and the reply of the next request that gets one; those that have come are taken first.

        Raises:
            RequestFailed: that request failed, with its ``label``, and ``error`` as ``call`` would raise it.
            CallTimeout: none came in time. All requests are abandoned and the collection is empty; see ``wait``.
            UsageError: the collection is empty.
        """
        try:
            return await self.wait(timeout_s)
        except TimeoutError:
            self.abandon()
            raise

    async def wait(self, timeout_s: float | None = None) -> tuple[Any, Any]:
        """``receive``, but the requests go on after a CallTimeout."""
        if not self._open:
            raise UsageError("the collection has no request to wait for")
        if self._waiter is not None:
            raise UsageError("another waits for this collection already")
        if not self._done:
            self._waiter = _core.current_scheduler().promise(f"any of {len(self)} servers", timeout_s)
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._take()

    def check(self) -> tuple[Any, Any] | None:
        """The label and the reply of a request that has one by now, or None. Raises RequestFailed."""
        return self._take() if self._done else None

    def abandon(self) -> None:
        """Want no reply any more."""
        requests, self._open = list(self._open), {}
        self._done.clear()
        for request in requests:
            request.abandon()

    def _on_done(self, request: Request, call: Call) -> None:
        if request not in self._open:
            return
        if call.cancelled():  # abandoned by itself
            del self._open[request]
        else:
            self._done.append(request)
        if self._waiter is None:
            return
        if self._done:
            self._waiter.reply(None)
        elif not self._open:
            self._waiter.fail(UsageError("every request of the collection was abandoned"))

    def _take(self) -> tuple[Any, Any]:
        request = self._done.popleft()
        del self._open[request]
        try:
            return request.label, request._result()
        except Exception as error:
            raise RequestFailed(request.label, error) from error
