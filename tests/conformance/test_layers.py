"""The layers of the package hold, and each rule bites on a planted import."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.layers import findings, module_of, sources

ROOT = Path(__file__).parents[2]


def test_package_keeps_every_rule() -> None:
    assert findings(sources(ROOT)) == []


def test_sources_cover_python_and_cython_files() -> None:
    assert {"zmqcluster/errors.py", "zmqcluster/_ids.pyx", "zmqcluster/_ids.pxd"} <= set(sources(ROOT))


PLANTED = {
    "a row imports a higher one": (
        {"zmqcluster/wire/frames.py": "import struct\nfrom zmqcluster.runtime.node import Node\n"},
        "zmqcluster/wire/frames.py:2: wire imports runtime, a higher row",
    ),
    "a higher row by a relative import": (
        {"zmqcluster/otp/task.py": "from ..cluster import registry\n"},
        "zmqcluster/otp/task.py:1: otp imports cluster, a higher row",
    ),
    "a higher row for its types alone": (
        {"zmqcluster/wire/frames.py": "if TYPE_CHECKING:\n    from zmqcluster.runtime.node import Node\n"},
        "zmqcluster/wire/frames.py:2: wire imports runtime, a higher row",
    ),
    "a .pyx cimports a higher row": (
        {"zmqcluster/_core.pyx": "from zmqcluster.wire.frames cimport KIND\n"},
        "zmqcluster/_core.pyx:1: core imports wire, a higher row",
    ),
    "siblings of a row, folders": (
        {"zmqcluster/protocol/session.py": "from zmqcluster.transport.interface import Dial\n"},
        "zmqcluster/protocol/session.py:1: protocol imports transport, a sibling of its row",
    ),
    "siblings of a row, files": (
        {"zmqcluster/exits.py": "from zmqcluster.errors import ClusterError\n"},
        "zmqcluster/exits.py:1: exits imports errors, a sibling of its row",
    ),
    "a module without a row": (
        {"zmqcluster/runtime/node.py": "from zmqcluster.extras import trick\n"},
        "zmqcluster/runtime/node.py:1: extras has no row",
    ),
    "the facade by name": (
        {"zmqcluster/otp/agent.py": "import zmqcluster\n"},
        "zmqcluster/otp/agent.py:1: the facade is imported",
    ),
    "the facade for what it exports": (
        {"zmqcluster/__main__.py": "from zmqcluster import Node\n"},
        "zmqcluster/__main__.py:1: the facade is imported",
    ),
    "zmq outside its module": (
        {"zmqcluster/runtime/links.py": "import zmq.asyncio\n"},
        "zmqcluster/runtime/links.py:1: zmq is imported outside zmqcluster/transport/zmq.py",
    ),
    "msgpack outside its module": (
        {"zmqcluster/wire/frames.py": "from msgpack import packb\n"},
        "zmqcluster/wire/frames.py:1: msgpack is imported outside zmqcluster/wire/codec.py",
    ),
    **{
        f"a protocol core imports {module}": (
            {"zmqcluster/protocol/session.py": f"import {module}\n"},
            f"zmqcluster/protocol/session.py:1: a protocol core imports {module}",
        )
        for module in ("asyncio", "socket", "time", "random")
    },
    "an import inside a function": (
        {"zmqcluster/otp/task.py": "async def run():\n    import json\n"},
        "zmqcluster/otp/task.py:2: an import stands inside a function",
    ),
    "an import inside a function of a .pyx": (
        {"zmqcluster/_core.pyx": "cdef int run() except -1:\n    if x:\n        import json\n"},
        "zmqcluster/_core.pyx:3: an import stands inside a function",
    ),
}


@pytest.mark.parametrize(("files", "finding"), PLANTED.values(), ids=PLANTED)
def test_rule_bites_on_planted_import(files: dict[str, str], finding: str) -> None:
    assert finding in findings(files)


def test_rule_bites_on_planted_cycle_with_the_way_round() -> None:
    files = {
        "zmqcluster/otp/supervisor.py": "from zmqcluster.otp.task import Task\n",
        "zmqcluster/otp/task.py": "from zmqcluster.otp import agent\n",
        "zmqcluster/otp/agent.py": "import zmqcluster.otp.supervisor\n",
    }
    found = findings(files)
    assert len(found) == 3
    assert found[2] == (
        "zmqcluster/otp/task.py:1: an import cycle: zmqcluster.otp.task -> zmqcluster.otp.agent"
        " -> zmqcluster.otp.supervisor -> zmqcluster.otp.task"
    )


def test_rule_bites_on_cycle_through_own_package() -> None:
    files = {
        "zmqcluster/otp/__init__.py": "from zmqcluster.otp.task import Task\n",
        "zmqcluster/otp/task.py": "from . import Agent\n",
    }
    assert any("an import cycle" in each for each in findings(files))


def test_rule_bites_on_cycle_between_cython_modules() -> None:
    files = {
        "zmqcluster/_core.pyx": "from zmqcluster._wheel cimport Wheel\n",
        "zmqcluster/_wheel.pxd": "from zmqcluster._core cimport Scheduler\n",
    }
    assert any("an import cycle" in each for each in findings(files))


ALLOWED = {
    "a lower row": {"zmqcluster/wire/frames.py": "from zmqcluster.protocol.effects import Send\n"},
    "a module of its folder": {"zmqcluster/otp/task.py": "from zmqcluster.otp.agent import Agent\n"},
    "zmq at home": {"zmqcluster/transport/zmq.py": "import zmq\n"},
    "msgpack at home": {"zmqcluster/wire/codec.py": "import msgpack\n"},
    "random for its types in a protocol core": {
        "zmqcluster/protocol/session.py": "if TYPE_CHECKING:\n    from random import Random\n"
    },
    "modules of the core": {"zmqcluster/_core.pyx": "from zmqcluster._ring cimport HashRing  # owners\n"},
    "a module's own .pxd": {"zmqcluster/_wheel.pyx": "from zmqcluster._wheel cimport Wheel\n"},
    "a condition in a .pyx": {"zmqcluster/_core.pyx": "if PY < 314:\n    from _asyncio import tasks\n"},
    "the word in prose": {"zmqcluster/_core.pyx": '"""Say import when you import.\n\nfrom here to there"""\n'},
}


@pytest.mark.parametrize("files", ALLOWED.values(), ids=ALLOWED)
def test_rule_lets_good_import_pass(files: dict[str, str]) -> None:
    assert findings(files) == []


def test_module_of_package_is_its_folder() -> None:
    assert module_of("zmqcluster/otp/__init__.py") == "zmqcluster.otp"
    assert module_of("zmqcluster/_core.pyx") == "zmqcluster._core"
