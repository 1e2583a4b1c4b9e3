"""What makes a command of ``python -m zmqcluster``, and the options that many of them take.

    COMMANDS["ping"] = Command(about, configure, perform)        configure: to argparse     perform: the exit code

Exit codes: 0 done, 1 the other node cannot be reached or did not do it, 2 wrong arguments or settings; ``doctor`` has
more. What was asked for goes to stdout, what is said about it to stderr.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from zmqcluster.transport.cookie import find_keyring, read_cookie_file
from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.ways import Encryption

__all__ = [
    "DONE",
    "FAILED",
    "WRONG",
    "Command",
    "Options",
    "add_security",
    "json_or_text",
    "keyring_of",
    "security_of",
]

DONE, FAILED, WRONG = 0, 1, 2

Options = argparse.Namespace


@dataclass(frozen=True, slots=True)
class Command:
    """A word of the command line: what it takes, and what it does; None is the exit code 0."""

    about: str
    configure: Callable[[argparse.ArgumentParser], None]
    perform: Callable[[Options], int | None]


def add_security(options: argparse.ArgumentParser) -> None:
    """Let the user say the secret of the cluster, and how its connections are secured."""
    group = options.add_mutually_exclusive_group()
    group.add_argument("--cookie", help="of the cluster; all users of this host can see it: rather use a file")
    group.add_argument("--cookie-file", type=Path, metavar="FILE", help="that holds it, one per line")
    options.add_argument("--encryption", choices=get_args(Encryption), default="curve", help="as the nodes have it")


def keyring_of(options: Options) -> Keyring | None:
    """The secrets: of the options, else of the environment or the user's cookie file; None: there are none.

    Raises:
        ConfigError: the file cannot be read, or others can read it.
    """
    if options.cookie_file is not None:
        return Keyring(*read_cookie_file(options.cookie_file))
    return find_keyring(options.cookie)


def security_of(options: Options) -> dict[str, Any]:
    """The arguments of a Node that is to be let in, for the options. Raises as ``keyring_of``."""
    return {"cookie": keyring_of(options), "encryption": options.encryption}


def json_or_text(text: str) -> Any:
    """The value of an argument: JSON where it is some, else the text: ``5`` is a number, ``"5"`` and ``five`` text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
