"""``call``: ask a server of a node, as a process of the cluster would.

    $ python -m zmqcluster call orders@10.0.0.7/accounts balance DON-1 currency='"EUR"'
    25.0

Arguments are JSON where they are, else text; ``name=value`` is a keyword. The answer is printed as JSON where it is
some, else as Python writes it.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from zmqcluster import _core
from zmqcluster.commands.command import Command, Options, add_security, json_or_text, security_of
from zmqcluster.commands.terminal import tell
from zmqcluster.errors import ConfigError
from zmqcluster.ids import NodeName
from zmqcluster.monitoring.visit import find, reach, visit

__all__ = ["CALL"]

KEYWORD = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def _configure(options: argparse.ArgumentParser) -> None:
    options.add_argument("server", metavar="NODE/NAME", help="a node, and the name of a process there")
    options.add_argument("method", nargs="?", help="of the server's class, marked @call")
    options.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="JSON or text, or keyword=JSON or text")
    options.add_argument("--request", help="JSON or text for the server's handle_call, instead of a method")
    options.add_argument("--cast", action="store_true", help="wait for no answer")
    options.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="for the answer")
    add_security(options)


def _perform(options: Options) -> None:
    name, slash, server = options.server.partition("/")
    if not slash or not server:
        raise ConfigError(f"a server is written NODE/NAME, such as orders@10.0.0.7/accounts, not {options.server!r}")
    if (options.method is None) == (options.request is None):
        raise ConfigError("say what to call: a method, or --request")
    target = find(name)
    answer = visit(_ask, target, server, options, toward=target, purpose="call", **security_of(options))
    if not options.cast:
        tell(as_text(answer))


async def _ask(target: NodeName, server: str, options: Options) -> Any:
    await reach(target)
    scheduler, dest = _core.current_scheduler(), (server, target)
    if options.request is not None:
        positional, keywords = json_or_text(options.request), None
    else:
        positional, keywords = split_arguments(options.arguments)
    if options.cast:
        scheduler.cast(dest, positional, options.method, keywords)
        return None
    return await scheduler.call(dest, positional, options.timeout, options.method, keywords)


def split_arguments(arguments: list[str]) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
    """Return what is given by position, and by keyword."""
    keywords = {found[1]: json_or_text(found[2]) for each in arguments if (found := KEYWORD.fullmatch(each))}
    positional = tuple(json_or_text(each) for each in arguments if not KEYWORD.fullmatch(each))
    return positional, keywords or None


def as_text(value: Any) -> str:
    """A value, for people and for programs that read JSON."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return repr(value)


CALL = Command("call a server of a node", _configure, _perform)
