"""The command line: ``python -m zmqcluster ls`` lists the nodes of this host and user.

Exit codes: 0 done, 2 wrong arguments or a run directory that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from zmqcluster.errors import ConfigError
from zmqcluster.monitoring.listing import as_table, list_nodes

__all__ = ["main"]

CLEAR = "\x1b[H\x1b[2J"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _ls(options.run_dir, as_json=options.json, watch_s=options.watch)
    except ConfigError as error:
        print(f"zmqcluster: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _ls(run_dir: Path | None, *, as_json: bool, watch_s: float | None) -> int:
    while True:
        lines = list_nodes(run_dir)
        text = json.dumps([asdict(line) for line in lines], indent=2) if as_json else "\n".join(as_table(lines))
        print(f"{CLEAR if watch_s and sys.stdout.isatty() else ''}{text}", flush=True)
        if watch_s is None:
            if not lines:
                print("no node of this user has announced itself here with zc.Local()", file=sys.stderr)
            return 0
        time.sleep(watch_s)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zmqcluster", description="Looks at the nodes of zmqcluster.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    listing = commands.add_parser("ls", help="list the nodes of this host and user that use zc.Local()")
    listing.add_argument("--watch", nargs="?", type=float, const=1.0, metavar="SECONDS", help="again and again")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.add_argument("--run-dir", type=Path, metavar="FOLDER", help="the run directory, instead of the user's")
    return parser


if __name__ == "__main__":
    sys.exit(main())
