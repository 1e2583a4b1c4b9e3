"""The command line: ``python -m zmqcluster ls`` lists the nodes of this host and user, ``top NODE`` looks into one.

Exit codes: 0 done, 1 the node does not answer, 2 wrong arguments or a run directory that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from zmqcluster.errors import ClusterError, ConfigError
from zmqcluster.monitoring.listing import as_table, list_nodes
from zmqcluster.monitoring.top import top

__all__ = ["main"]

CLEAR = "\x1b[H\x1b[2J"
EVERY_S = 1.0

Options = argparse.Namespace


@dataclass(frozen=True, slots=True)
class Command:
    """A word of the command line: what it takes, and what it does."""

    about: str
    configure: Callable[[argparse.ArgumentParser], None]
    perform: Callable[[Options], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        COMMANDS[options.command].perform(options)
    except ClusterError as error:
        print(f"zmqcluster: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zmqcluster", description="Looks at the nodes of zmqcluster.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, command in COMMANDS.items():
        options = commands.add_parser(name, help=command.about)
        options.add_argument("--run-dir", type=Path, metavar="FOLDER", help="the run directory, instead of the user's")
        command.configure(options)
    return parser


def _tell(text: str, *, is_repeated: bool) -> None:
    print(f"{CLEAR if is_repeated and sys.stdout.isatty() else ''}{text}", flush=True)


# --- ls


def _configure_ls(options: argparse.ArgumentParser) -> None:
    options.add_argument("--watch", nargs="?", type=float, const=EVERY_S, metavar="SECONDS", help="again and again")
    options.add_argument("--json", action="store_true", help="print JSON")


def _ls(options: Options) -> None:
    while True:
        lines = list_nodes(options.run_dir)
        text = json.dumps([asdict(line) for line in lines], indent=2) if options.json else "\n".join(as_table(lines))
        _tell(text, is_repeated=options.watch is not None)
        if options.watch is None:
            if not lines:
                print("no node of this user has announced itself here with zc.Local()", file=sys.stderr)
            return
        time.sleep(options.watch)


# --- top


def _configure_top(options: argparse.ArgumentParser) -> None:
    options.add_argument("node", help="its full name, or the part before the @ of one that uses zc.Local()")
    options.add_argument("--once", action="store_true", help="print one screen and end")
    options.add_argument("--every", type=float, default=EVERY_S, metavar="SECONDS", help="between two screens")
    options.add_argument("--cookie", help="of the cluster; by default the variable ZMQCLUSTER_COOKIE")


def _top(options: Options) -> None:
    if options.run_dir is not None:
        os.environ["ZMQCLUSTER_RUN_DIR"] = str(options.run_dir)
    top(
        options.node,
        lambda text: _tell(text, is_repeated=not options.once),
        cookie=options.cookie or os.environ.get("ZMQCLUSTER_COOKIE"),
        every_s=None if options.once else options.every,
    )


COMMANDS = {
    "ls": Command("list the nodes of this host and user that use zc.Local()", _configure_ls, _ls),
    "top": Command("show what a running node of this host does", _configure_top, _top),
}

if __name__ == "__main__":
    sys.exit(main())
