"""``doctor``: why two nodes do not connect.

    $ python -m zmqcluster doctor orders@10.0.0.7:7101
    orders@10.0.0.7:7101 is at 10.0.0.7, port 7101
    nobody listens at tcp://10.0.0.7:7101
    cause: port. start the node, or give its port in the name                                       (exit code 11)

With one node, a node of our own tries to connect to it from here; with two, the first one is asked to try.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace

from zmqcluster.commands.command import Command, Options, add_security, security_of
from zmqcluster.commands.terminal import tell
from zmqcluster.errors import ConfigError, NoProcessError
from zmqcluster.ids import NodeName
from zmqcluster.monitoring import inspect
from zmqcluster.monitoring.diagnosis import CAUSES, Diagnosis
from zmqcluster.monitoring.visit import PATIENT, find, reach, visit

__all__ = ["DOCTOR", "EXIT_CODES"]

EXIT_CODES: Mapping[str, int] = {cause: code for code, cause in enumerate(CAUSES, 10)}
SETUP_MS = 12_000  # longer than the node over there tries to dial back, so that it can say that it cannot
ANSWER_S_MAX = 30.0


def _configure(options: argparse.ArgumentParser) -> None:
    options.add_argument("node", help="that cannot be connected to")
    options.add_argument("other", nargs="?", help="with two nodes: why does the first not connect to this one?")
    options.add_argument("--cluster", default="zmqcluster", help="the name of the cluster it should be in")
    add_security(options)


def _perform(options: Options) -> int:
    patient = replace(PATIENT, setup_ms=SETUP_MS)
    settings = {**security_of(options), "purpose": "doctor", "cluster": options.cluster, "timing": patient}
    try:
        first = find(options.node)
    except ConfigError as error:
        return _told(Diagnosis(options.node, (str(error),), "name"))
    if options.other is None:
        return _told(visit(inspect.diagnose_here, first, toward=first, **settings))
    return _told(visit(_ask, first, options.other, toward=first, **settings))


async def _ask(first: NodeName, other: str) -> Diagnosis:
    """Let ``first`` try, if it can be reached from here; else that is what is wrong."""
    diagnosis = await inspect.diagnose_here(first)
    if diagnosis.cause is not None:
        return diagnosis
    await reach(first)
    try:
        found = await inspect.diagnose_at(first, other, timeout_s=ANSWER_S_MAX)
    except NoProcessError:
        raise NoProcessError(f"{first}: it runs no inspector, start it with zc.run") from None
    return replace(found, findings=(*diagnosis.findings, f"seen from {first}:", *found.findings))


def _told(diagnosis: Diagnosis) -> int:
    for finding in diagnosis.findings:
        tell(finding)
    if diagnosis.cause is None:
        tell("nothing is wrong")
        return 0
    tell(f"cause: {diagnosis.cause}. {CAUSES[diagnosis.cause]}")
    return EXIT_CODES[diagnosis.cause]


DOCTOR = Command("say why two nodes do not connect", _configure, _perform)
