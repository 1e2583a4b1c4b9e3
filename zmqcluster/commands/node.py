"""``node``: run a node, empty or with an application.

    $ python -m zmqcluster node orders@127.0.0.1 --local --cookie-file cluster.cookie --app shop.app:Orders
    orders@127.0.0.1 listens at ipc:///run/... tcp://127.0.0.1:23110

It ends as ``zc.run`` does: on SIGTERM and SIGINT in order, and when the application ends.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from zmqcluster.commands.command import Command, Options, add_security, json_or_text, security_of
from zmqcluster.commands.terminal import tell
from zmqcluster.discovery.local import Local
from zmqcluster.discovery.static import Static
from zmqcluster.discovery.topologies import Topology
from zmqcluster.errors import ConfigError
from zmqcluster.monitoring.run import SERVICES, run
from zmqcluster.runtime.current import node
from zmqcluster.runtime.process import receive
from zmqcluster.runtime.timing import Timing

__all__ = ["NODE"]

TIMINGS: dict[str, Callable[[], Timing]] = {"local": Timing.local, "lan": Timing.lan, "wan": Timing.wan}


def _configure(options: argparse.ArgumentParser) -> None:
    options.add_argument("name", help="such as orders@10.0.0.7:7101")
    options.add_argument("--app", metavar="MODULE:NAME", help="a Supervisor, Application or async function to run")
    options.add_argument("--arg", action="append", default=[], metavar="VALUE", help="for it: JSON or text")
    options.add_argument("--local", action="store_true", help="join the nodes of this host and user")
    options.add_argument("--static", action="append", default=[], metavar="NODE,NODE", help="join these nodes")
    options.add_argument("--import", action="append", default=[], dest="modules", metavar="MODULE", help="before all")
    options.add_argument("--allow", action="append", default=[], metavar="NETWORK", help="who may connect: 10.0.0.0/8")
    options.add_argument("--spawn-allow", action="append", default=[], metavar="MODULE", help="others may run it here")
    options.add_argument("--listen", metavar="HOST:PORT", help="where that is not what the name says")
    options.add_argument("--cluster", default="zmqcluster", help="nodes of another cluster name are refused")
    options.add_argument("--timing", choices=TIMINGS, default="lan", help="how fast silence is noticed")
    options.add_argument("--hidden", action="store_true", help="be on nobody's list")
    options.add_argument("--no-connect-all", action="store_true", help="do not connect to the peers of peers")
    options.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    add_security(options)


def _perform(options: Options) -> None:
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as for `python -m`, also where it is installed as a program
    for module in options.modules:
        _imported(module)
    main = loaded(options.app) if options.app else _forever
    run(
        main,
        *map(json_or_text, options.arg),
        name=options.name,
        **security_of(options),
        topologies=_topologies(options),
        allow=options.allow,
        spawn_allow=options.spawn_allow,
        listen=options.listen,
        cluster=options.cluster,
        timing=TIMINGS[options.timing](),
        hidden=options.hidden,
        connect_all=not options.no_connect_all,
        services=(*SERVICES, _announce),
    )


def _topologies(options: Options) -> list[Topology]:
    names = [name for names in options.static for name in names.split(",") if name]
    static = [Static(names)] if names else []
    return [*([Local()] if options.local else []), *static]


async def _forever() -> None:
    await receive(lambda _: False)


async def _announce() -> None:
    tell(f"{node().name} listens at {' '.join(node().link_endpoints)}")


def loaded(path: str) -> Any:
    """The object that ``module:name`` names.

    Raises:
        ConfigError: there is none.
    """
    module, colon, name = path.partition(":")
    if not colon or not name:
        raise ConfigError(f"what to run is written module:name, not {path!r}")
    found: Any = _imported(module)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ConfigError(f"{module} has no {name}") from None
    return found


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(f"cannot import {module}: {error}") from error


NODE = Command("run a node", _configure, _perform)
