"""The command line: ``python -m zmqcluster ls`` lists the nodes of this host and user, ``top NODE`` looks into one, ...

Each command is a module of ``commands``. Exit codes: 0 done, 1 the other node cannot be reached or did not do it,
2 wrong arguments or settings; those of ``doctor`` are in docs/command-line.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from zmqcluster.commands.call import CALL
from zmqcluster.commands.command import DONE, FAILED, WRONG, Command, Options
from zmqcluster.commands.cookie import COOKIE
from zmqcluster.commands.doctor import DOCTOR
from zmqcluster.commands.ls import LS
from zmqcluster.commands.node import NODE
from zmqcluster.commands.ping import PING
from zmqcluster.commands.spawn import SPAWN
from zmqcluster.commands.top import TOP
from zmqcluster.errors import ClusterError, ConfigError

__all__ = ["main"]

RUN_DIR = "ZMQCLUSTER_RUN_DIR"
COMMANDS: Mapping[str, Command] = {
    "node": NODE,
    "ls": LS,
    "ping": PING,
    "call": CALL,
    "spawn": SPAWN,
    "top": TOP,
    "cookie": COOKIE,
    "doctor": DOCTOR,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        with run_dir_of(options):
            return COMMANDS[options.command].perform(options) or DONE
    except ClusterError as error:
        print(f"zmqcluster: {error}", file=sys.stderr)
        return WRONG if isinstance(error, ConfigError) else FAILED
    except KeyboardInterrupt:
        return DONE
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE


@contextlib.contextmanager
def run_dir_of(options: Options) -> Iterator[None]:
    """Let everything below use the run directory of the options."""
    before = os.environ.get(RUN_DIR)
    if options.run_dir is not None:
        os.environ[RUN_DIR] = str(options.run_dir)
    try:
        yield
    finally:
        os.environ.pop(RUN_DIR, None)
        if before is not None:
            os.environ[RUN_DIR] = before


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zmqcluster", description="Runs nodes of zmqcluster, and looks at them.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, command in COMMANDS.items():
        options = commands.add_parser(name, help=command.about)
        options.add_argument("--run-dir", type=Path, metavar="FOLDER", help="the run directory, instead of the user's")
        command.configure(options)
    return parser


if __name__ == "__main__":
    sys.exit(main())
