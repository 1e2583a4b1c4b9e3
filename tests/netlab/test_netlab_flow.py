"""A large message over a slow link."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.netlab import Lab
from tests.support.node_process import ROOT

PROGRAM = [sys.executable, "-m", "tests.support.flow_node"]
MBIT_S = 20.0
SIZE_BYTES = 8_000_000
DELAY_S_MAX = 0.3  # for a call of another process, beyond what it takes on the idle link


def test_eight_megabytes_over_20_mbit_s_delay_others_by_300_ms_at_most_and_nobody_is_down() -> None:
    with Lab(2) as lab:
        a, b = lab["a"], lab["b"]
        lab.rate("b", MBIT_S)
        environment = {"ZMQCLUSTER_RUN_DIR": str(lab.run_dir), "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [*b.prefix, *PROGRAM, "serve", b.node_name],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as serving:
            assert serving.stdout is not None and serving.stdin is not None
            assert serving.stdout.readline() == "ready\n"
            sending = subprocess.run(
                [*a.prefix, *PROGRAM, "bulk", a.node_name, b.node_name, str(SIZE_BYTES)],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            serving.stdin.close()
    assert sending.returncode == 0, sending.stderr
    found = json.loads(sending.stdout)
    assert found["downs"] == []
    assert found["took_s"] > SIZE_BYTES * 8 / (MBIT_S * 1e6) * 0.9  # the link was slow indeed
    assert found["slowest_s"] - found["quiet_s"] < DELAY_S_MAX
