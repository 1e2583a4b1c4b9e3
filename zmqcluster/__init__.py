"""Stateful processes on many machines: supervised, named, location transparent, partition tolerant. No broker.

    import zmqcluster as zc

Processes: ``spawn send receive link monitor exit``. Servers: ``GenServer call cast Supervisor``. Nodes: ``run Node
connect nodes monitor_nodes``, discovery with ``Static`` and ``Local``. Across the cluster: ``ClusterRegistry``,
``ClusterSupervisor``, ``Groups``, ``PubSub`` and ``Presence``. Everything else is in the modules of the same names; see
docs/.
"""

from zmqcluster import core as core  # first of all: it says what to do where the extension is missing
from zmqcluster import errors, telemetry
from zmqcluster.cluster import keyring
from zmqcluster.cluster.groups import Groups
from zmqcluster.cluster.presence import Presence
from zmqcluster.cluster.pubsub import PubSub
from zmqcluster.cluster.registry import ClusterRegistry
from zmqcluster.cluster.supervisor import ClusterSupervisor
from zmqcluster.core import (
    TIMEOUT,
    Call,
    Continue,
    Down,
    Exit,
    HashRing,
    Ignore,
    NoReply,
    Reply,
    Stop,
    decode,
    encode,
    message,
)
from zmqcluster.discovery.local import Local
from zmqcluster.discovery.static import Static
from zmqcluster.errors import *  # noqa: F403  every error is public, and named in errors.__all__
from zmqcluster.exits import (
    BadReturn,
    Crashed,
    Kill,
    Killed,
    NameConflict,
    NoConnection,
    NoProcess,
    Normal,
    Shutdown,
    TimedOut,
    is_expected,
)
from zmqcluster.ids import NodeName, Pid, Ref
from zmqcluster.monitoring import inspect
from zmqcluster.monitoring.run import run
from zmqcluster.otp import erpc, sys
from zmqcluster.otp.agent import Agent
from zmqcluster.otp.application import Application
from zmqcluster.otp.backoff import Backoff
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.dynamic_supervisor import DynamicSupervisor
from zmqcluster.otp.gen_server import GenServer, caller, reply, stop
from zmqcluster.otp.methods import call, cast
from zmqcluster.otp.partition_supervisor import PartitionSupervisor
from zmqcluster.otp.registry import Registry
from zmqcluster.otp.requests import Request, Requests, abcast, multi_call, send_request
from zmqcluster.otp.state_machine import StateMachine
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.otp.task import Exited, Finished, Task, TaskResult
from zmqcluster.otp.task_stream import stream_tasks
from zmqcluster.otp.task_supervisor import TaskSupervisor
from zmqcluster.protocol.group_monitors import Joined, Left
from zmqcluster.protocol.placement import Uniform
from zmqcluster.protocol.presence import PresenceDiff, Tracked
from zmqcluster.runtime.current import (
    connect,
    disconnect,
    joined,
    monitor_node,
    monitor_nodes,
    node,
    node_state,
    nodes,
    set_cookie,
)
from zmqcluster.runtime.events import Gossip, NodeDown, NodeUp
from zmqcluster.runtime.exported import remote
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import (
    Destination,
    TimerFired,
    Via,
    alias,
    asend,
    cancel_timer,
    demonitor,
    dictionary,
    exit,
    hibernate,
    is_alive,
    link,
    monitor,
    process_info,
    read_timer,
    receive,
    register,
    self,
    send,
    send_after,
    set_label,
    spawn,
    spawn_link,
    spawn_monitor,
    start_timer,
    trap_exits,
    unalias,
    unlink,
    unregister,
    whereis,
)
from zmqcluster.runtime.run import run_node
from zmqcluster.runtime.spawning import spawn_link_on, spawn_monitor_on, spawn_on
from zmqcluster.runtime.timing import Timing
from zmqcluster.transport.keyring import Keyring

__version__ = "0.1.0"

__all__ = [
    "TIMEOUT",
    "Agent",
    "Application",
    "Backoff",
    "BadReturn",
    "Call",
    "ChildSpec",
    "ClusterRegistry",
    "ClusterSupervisor",
    "Continue",
    "Crashed",
    "Destination",
    "Down",
    "DynamicSupervisor",
    "Exit",
    "Exited",
    "Finished",
    "GenServer",
    "Gossip",
    "Groups",
    "HashRing",
    "Ignore",
    "Joined",
    "Keyring",
    "Kill",
    "Killed",
    "Left",
    "Local",
    "NameConflict",
    "NoConnection",
    "NoProcess",
    "NoReply",
    "Node",
    "NodeDown",
    "NodeName",
    "NodeUp",
    "Normal",
    "PartitionSupervisor",
    "Pid",
    "Presence",
    "PresenceDiff",
    "PubSub",
    "Ref",
    "Registry",
    "Reply",
    "Request",
    "Requests",
    "Shutdown",
    "StateMachine",
    "Static",
    "Stop",
    "Supervisor",
    "Task",
    "TaskResult",
    "TaskSupervisor",
    "TimedOut",
    "TimerFired",
    "Timing",
    "Tracked",
    "Uniform",
    "Via",
    "abcast",
    "alias",
    "asend",
    "call",
    "caller",
    "cancel_timer",
    "cast",
    "connect",
    "decode",
    "demonitor",
    "dictionary",
    "disconnect",
    "encode",
    "erpc",
    "exit",
    "hibernate",
    "inspect",
    "is_alive",
    "is_expected",
    "joined",
    "keyring",
    "link",
    "message",
    "monitor",
    "monitor_node",
    "monitor_nodes",
    "multi_call",
    "node",
    "node_state",
    "nodes",
    "process_info",
    "read_timer",
    "receive",
    "register",
    "remote",
    "reply",
    "run",
    "run_node",
    "self",
    "send",
    "send_after",
    "send_request",
    "set_cookie",
    "set_label",
    "spawn",
    "spawn_link",
    "spawn_link_on",
    "spawn_monitor",
    "spawn_monitor_on",
    "spawn_on",
    "start_timer",
    "stop",
    "stream_tasks",
    "sys",
    "telemetry",
    "trap_exits",
    "unalias",
    "unlink",
    "unregister",
    "whereis",
]
__all__ += errors.__all__
