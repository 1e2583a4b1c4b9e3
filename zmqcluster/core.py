"""The compiled core, or a clear word about its absence.

``ZMQCLUSTER_PURE=1`` takes Mailbox, HashRing and the codec from the plain reference instead, to find out whether a
fault is theirs. The driver of processes exists only compiled.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

try:
    from zmqcluster import _core
except ImportError as error:
    raise ImportError(
        "zmqcluster's compiled core is missing or was built for another Python: "
        "build it with `pip install .` or, in a checkout, `python setup.py build_ext --inplace` "
        f"(needs a C compiler and Cython). The import failed with: {error}"
    ) from error

from zmqcluster._codec import message, register_message, register_str
from zmqcluster._core import (
    TIMEOUT,
    Behaviour,
    Call,
    Cast,
    Continue,
    Control,
    Down,
    Exit,
    Ignore,
    Link,
    NoReply,
    Process,
    Reply,
    Scheduler,
    Stop,
    TimeoutMessage,
    spawn_task,
)

PURE = os.environ.get("ZMQCLUSTER_PURE") == "1"
if TYPE_CHECKING or not PURE:
    from zmqcluster._codec import decode, encode
    from zmqcluster._core import Mailbox
    from zmqcluster._ring import HashRing, hash64
else:
    from zmqcluster._reference import HashRing, Mailbox, decode, encode, hash64

__all__ = [
    "PURE",
    "TIMEOUT",
    "Behaviour",
    "Call",
    "Cast",
    "Continue",
    "Control",
    "Down",
    "Exit",
    "HashRing",
    "Ignore",
    "Link",
    "Mailbox",
    "NoReply",
    "Process",
    "Reply",
    "Scheduler",
    "Stop",
    "TimeoutMessage",
    "_core",
    "decode",
    "encode",
    "hash64",
    "message",
    "register_message",
    "register_str",
    "spawn_task",
]
