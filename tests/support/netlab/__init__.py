"""Real hosts and real faults on one Linux machine: what the simulator can't show, a kernel's TCP.

    with Lab(3, seed=7) as lab:                                hosts a, b and c: a network namespace each
        a = lab["a"].start_node()                              an OS process on host a
        lab.cut("a", "bc")                                     as ``Simulation.cut``
        lab.heal()

    process on a ── kernel of a ── tap ──> switch, one process: a seeded fate for each frame ──> tap ── kernel of b

Needs Linux, root, iproute2 and /dev/net/tun; ``why_not()`` says what is missing. Nothing touches the machine's own
network: the namespaces have no way out, so labs run side by side. ``lab.log`` has each fault with its time.
"""

from tests.support.netlab.cluster import LabCluster
from tests.support.netlab.lab import Host, Lab
from tests.support.netlab.namespaces import why_not

__all__ = ["Host", "Lab", "LabCluster", "why_not"]
