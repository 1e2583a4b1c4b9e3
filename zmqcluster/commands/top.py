"""``top``: what a running node does, live; see ``monitoring.top``."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec

from zmqcluster.commands.command import Command, Options, add_security, security_of
from zmqcluster.commands.terminal import EVERY_S, tell
from zmqcluster.errors import ConfigError
from zmqcluster.monitoring.top import top

__all__ = ["TOP"]


def _configure(options: argparse.ArgumentParser) -> None:
    options.add_argument("node", help="its full name, or the part before the @ of one that uses zc.Local()")
    options.add_argument("--once", action="store_true", help="print one screen and end")
    options.add_argument("--every", type=float, default=EVERY_S, metavar="SECONDS", help="between two screens")
    options.add_argument("--plain", action="store_true", help="text, also where textual is installed")
    add_security(options)


def _perform(options: Options) -> None:
    security = security_of(options)
    if not options.every > 0:
        raise ConfigError(f"--every takes a number of seconds of more than 0, not {options.every}")
    if not options.plain and not options.once and _can_show_a_screen():
        import_module("zmqcluster.monitoring.top_screen").top_screen(options.node, every_s=options.every, **security)
        return
    top(
        options.node,
        lambda text: tell(text, is_repeated=not options.once),
        every_s=None if options.once else options.every,
        **security,
    )


def _can_show_a_screen() -> bool:
    """Whether textual is installed, and all that it reads and writes is a terminal."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return find_spec("textual") is not None and all(stream is not None and stream.isatty() for stream in streams)


TOP = Command("show what a running node does", _configure, _perform)
