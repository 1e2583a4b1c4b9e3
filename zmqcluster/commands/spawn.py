"""``spawn``: start a process on a node.

    $ python -m zmqcluster spawn orders@10.0.0.7 shop.jobs:archive 2024-06
    <orders@10.0.0.7 17.0>

The node must offer the function: with ``@zc.remote``, or ``spawn_allow``. The process goes on when the command has
ended; ``--wait`` stays until it ends, and says how.
"""

from __future__ import annotations

import argparse

from zmqcluster.commands.command import (
    DONE,
    FAILED,
    Command,
    Options,
    add_security,
    json_or_text,
    security_of,
)
from zmqcluster.commands.terminal import tell
from zmqcluster.core import Down
from zmqcluster.exits import is_expected
from zmqcluster.ids import NodeName
from zmqcluster.monitoring.visit import find, reach, visit
from zmqcluster.runtime.process import receive
from zmqcluster.runtime.spawning import spawn_monitor_on, spawn_on

__all__ = ["SPAWN"]


def _configure(options: argparse.ArgumentParser) -> None:
    options.add_argument("node", help="its full name, or the part before the @ of one of this host")
    options.add_argument("function", metavar="MODULE:FUNCTION", help="that the node offers to others")
    options.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="JSON or text")
    options.add_argument("--name", help="register the process under this name there")
    options.add_argument("--wait", action="store_true", help="until it ends; the exit code is 1 if it failed")
    add_security(options)


def _perform(options: Options) -> int:
    target = find(options.node)
    spawn = _spawn_and_wait if options.wait else _spawn
    return visit(spawn, target, options, toward=target, purpose="spawn", **security_of(options))


async def _spawn(target: NodeName, options: Options) -> int:
    await reach(target)
    tell(repr(await spawn_on(target, options.function, *_values(options), name=options.name)))
    return DONE


async def _spawn_and_wait(target: NodeName, options: Options) -> int:
    await reach(target)
    pid, ref = await spawn_monitor_on(target, options.function, *_values(options), name=options.name)
    tell(repr(pid))
    down: Down = await receive(lambda message: isinstance(message, Down) and message.ref == ref)
    tell(repr(down.reason))
    return DONE if is_expected(down.reason) else FAILED


def _values(options: Options) -> list[object]:
    return [json_or_text(argument) for argument in options.arguments]


SPAWN = Command("start a process on a node", _configure, _perform)
