"""Test your own application against partitions, crashes and stalls, in virtual time: see ``Simulation``."""

from zmqcluster.testing import checkers
from zmqcluster.testing.clock import Deadlock, Livelock, VirtualLoop
from zmqcluster.testing.network import Conditions
from zmqcluster.testing.simulation import Simulation, note
from zmqcluster.testing.trace import Trace

__all__ = ["Conditions", "Deadlock", "Livelock", "Simulation", "Trace", "VirtualLoop", "checkers", "note"]
