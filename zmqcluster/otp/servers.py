"""The server classes of this interpreter by their name on the wire, ``module:qualname``; the last of a name counts."""

from __future__ import annotations

from typing import Any

from zmqcluster.errors import ConfigError

__all__ = ["add_server", "resolve_server", "server_name"]

_servers: dict[str, type[Any]] = {}


def server_name(cls: type[Any]) -> str:
    """How the class is called on the wire: ``module:qualname``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def add_server(cls: type[Any]) -> None:
    """Let ``resolve_server`` find the class."""
    _servers[server_name(cls)] = cls


def resolve_server(name: str) -> type[Any]:
    """The server class of that wire name. Raises ConfigError when this node has not imported it."""
    try:
        return _servers[name]
    except KeyError:
        raise ConfigError(f"no server class {name!r} is loaded on this node: import its module here too") from None
