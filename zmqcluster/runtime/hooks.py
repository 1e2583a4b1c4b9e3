"""What the core asks of a node that has links."""

from __future__ import annotations

from collections.abc import Callable

from zmqcluster.core import Call, Link
from zmqcluster.runtime.links import Links
from zmqcluster.runtime.reports import Reports

__all__ = ["NodeHooks"]


class NodeHooks(Reports):
    """Reports what is to be reported, and gives the rest to the node's links, once it has some, and its service."""

    def __init__(self, links: Callable[[], Links | None], on_node_call: Callable[[Call], None]) -> None:
        self._links = links
        self._on_node_call = on_node_call

    def on_node_call(self, call: Call) -> None:
        self._on_node_call(call)

    def connect(self, node: str) -> Link | None:
        links = self._links()
        return links.connect(node) if links else None

    def on_control(self, source: bytes, frame: bytes) -> None:
        if links := self._links():
            links.on_control(source, frame)

    def on_link_broken(self, link: Link, problem: str) -> None:
        if links := self._links():
            links.on_link_broken(link, problem)
