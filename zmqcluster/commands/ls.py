"""``ls``: the nodes of this host, or those that a node is connected to.

    $ python -m zmqcluster ls
    NODE             PID    STATE  PEERS  WORKERS  AGE     MEMORY   ENDPOINTS
    a@127.0.0.1      10212  up     2      317      3m 20s  31.0 MB  ipc:///run/... tcp://127.0.0.1:23110

    $ python -m zmqcluster ls orders@10.0.0.7
    NODE             STATE  TYPE     VERSION  PEERS  WORKERS
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from zmqcluster.commands.command import Command, Options, add_security, security_of
from zmqcluster.commands.terminal import EVERY_S, tell
from zmqcluster.monitoring.listing import NodeLine, as_table, list_nodes
from zmqcluster.monitoring.survey import MemberLine, members_table, survey, survey_from
from zmqcluster.monitoring.visit import find, visit

__all__ = ["LS"]


def _configure(options: argparse.ArgumentParser) -> None:
    options.add_argument("node", nargs="?", help="list this node and its peers as it sees them, instead of this host's")
    options.add_argument("--watch", nargs="?", type=float, const=EVERY_S, metavar="SECONDS", help="again and again")
    options.add_argument("--json", action="store_true", help="print JSON")
    add_security(options)


def _perform(options: Options) -> None:
    show = _show_host if options.node is None else _show_cluster
    show(options)
    while options.watch is not None:
        time.sleep(options.watch)
        show(options)


def _show_cluster(options: Options) -> None:
    target = find(options.node)
    lines = visit(survey_from, target, toward=target, purpose="ls", **security_of(options))
    _show(options, lines, members_table(lines))


def _show_host(options: Options) -> None:
    lines = list_nodes(options.run_dir)
    security = security_of(options)
    has_cookie = security["cookie"] is not None
    asked = {line.node for line in lines if line.state == "up" and line.has_cookie == has_cookie}
    if asked:
        seen = visit(survey, sorted(asked), purpose="ls", **security)
        lines = [line.seen_as(seen.get(line.node)) if line.node in asked else line for line in lines]
    _show(options, lines, as_table(lines))
    if not lines:
        print("no node of this user has announced itself here with zc.Local()", file=sys.stderr)
    elif not has_cookie and any(line.has_cookie for line in lines):
        print("to see peers and workers: --cookie-file, or ZMQCLUSTER_COOKIE", file=sys.stderr)


def _show(options: Options, lines: Sequence[NodeLine | MemberLine], table: Sequence[str]) -> None:
    text = json.dumps([asdict(line) for line in lines], indent=2) if options.json else "\n".join(table)
    tell(text, is_repeated=options.watch is not None)


LS = Command("list the nodes of this host and user that use zc.Local(), or those a node sees", _configure, _perform)
