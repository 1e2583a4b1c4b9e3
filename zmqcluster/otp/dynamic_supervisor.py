"""DynamicSupervisor: children that come and go, each started when somebody asks for it.

    start_child ──> a linked process at once ──init──> Started ──> its pid to the caller
                                              └──────> NotStarted ──> StartFailed to the caller; or, in a restart, again
    Exit(child) ──> restart as its spec says, within the limit that all children share

Every child stands alone: a failure stops no other, their order means nothing and they have no ids. The supervisor waits
for no ``init``, so a slow one delays nobody, and a thousand start side by side; a child that is starting or restarting
counts as one. It stops all of them at once, each within its own time. A temporary child's arguments are not kept.
Source: Elixir DynamicSupervisor, which runs one init after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Call, Exit, NoReply, Stop
from zmqcluster.errors import ClusterError, ConfigError, MaxChildren, NoProcessError, Refusal, StartFailed
from zmqcluster.exits import Killed, Shutdown, is_expected
from zmqcluster.otp.child_spec import Child, ChildSpec, Restart, child_spec, starts_again
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.launching import NotStarted, Started, launch
from zmqcluster.otp.methods import call
