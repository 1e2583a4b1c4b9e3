"""``doctor`` from another host: a cut on the way is a firewall, and without it nothing is wrong."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.netlab import Host, Lab
from tests.support.node_process import ROOT

FIREWALL = 12


def doctor(host: Host, lab: Lab, target: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "ZMQCLUSTER_RUN_DIR": str(lab.run_dir),
        "ZMQCLUSTER_COOKIE": "secret",
        "PYTHONPATH": str(ROOT),
    }
    command = [*host.prefix, sys.executable, "-m", "zmqcluster", "doctor", target]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_doctor_across_hosts_then_well_and_behind_a_cut_a_firewall() -> None:
    with Lab(2) as lab:
        lab["b"].start_node(topology="")
        target = lab["b"].node_name
        well = doctor(lab["a"], lab, target)
        assert well.stdout.splitlines()[1].startswith("connected, "), well
        lab.cut("a", "b")
        ran = doctor(lab["a"], lab, target)
        assert (ran.returncode, ran.stdout.splitlines()[-1].partition(".")[0]) == (FIREWALL, "cause: firewall"), ran
