"""``cookie gen``: a secret for a cluster, in a file that only its owner can read.

    $ python -m zmqcluster cookie gen cluster.cookie
    $ python -m zmqcluster node a@10.0.0.5 --cookie-file cluster.cookie

Without a name the file is the one where nodes of this user look for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from zmqcluster.commands.command import Command, Options
from zmqcluster.commands.terminal import tell
from zmqcluster.errors import ConfigError
from zmqcluster.transport.cookie import cookie_path, make_cookie_file

__all__ = ["COOKIE"]


def _configure(options: argparse.ArgumentParser) -> None:
    actions = options.add_subparsers(dest="action", required=True, metavar="action")
    generate = actions.add_parser("gen", help="write a new secret to a file of mode 0600")
    generate.add_argument("file", type=Path, nargs="?", metavar="FILE", help="by default that of this user")
    generate.add_argument("--force", action="store_true", help="replace the file if it is there")


def _perform(options: Options) -> None:
    path = options.file or cookie_path()
    if options.force:
        path.unlink(missing_ok=True)
    elif path.exists():
        raise ConfigError(f"{path} is there; with --force it is replaced, and whoever uses it is refused")
    make_cookie_file(path)
    tell(f"wrote {path}, mode 0600; copy it to every machine: ZMQCLUSTER_COOKIE_FILE, --cookie-file")


COOKIE = Command("make a secret for a cluster", _configure, _perform)
