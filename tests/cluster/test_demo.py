"""The demo: three OS processes, one of them killed with -9, and every donation is there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "05_donations" / "demo.py"
HEADER = "id,donor,region,amount,currency\n"

pytestmark = pytest.mark.cluster


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="zc-") as run_dir:  # pytest's own folders are too deep for sockets
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ZMQCLUSTER_RUN_DIR": run_dir}
        command = [sys.executable, str(DEMO), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=90)


def write_rows(path: Path, rows: list[str]) -> str:
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return str(path)


def test_demo_loses_no_donation_to_the_kill_and_reports_bad_rows(tmp_path: Path) -> None:
    rows = [f"{number},D-{number % 40},r,{number}.10,{('EUR', 'AED')[number % 2]}" for number in range(1, 401)]
    rows.insert(100, "bad,D-1,r,ten,EUR")
    path = write_rows(tmp_path / "mine.csv", rows)
    ran = run_demo(path, "--rate", "0")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{path}:102: amount 'ten' is not a number; this row is left out" in ran.stderr
    assert "kill -9" in ran.stdout and "kill to all workers back" in ran.stdout
    zakat = [line.split() for line in ran.stdout.splitlines() if line.startswith(("AED", "EUR"))]
    # AED: 2.5 % of 1.10 + 3.10 + ... + 399.10, EUR: of 2.10 + 4.10 + ... + 400.10
    assert zakat == [["AED", "1,000.50", "1,000.50", "equal"], ["EUR", "1,005.50", "1,005.50", "equal"]]
    assert ran.stdout.splitlines()[-1] == "all 400 donations finished, the zakat is right to the cent"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "No such file or directory"),
        ("id,donor\n", "column region, amount, currency is missing"),
        (HEADER, "has no good row"),
    ],
)
def test_demo_of_unusable_file_exits_2_and_starts_nothing(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "mine.csv"
    if text is not None:
        path.write_text(text)
    ran = run_demo(str(path))
    assert ran.returncode == 2
    assert problem in ran.stderr and "started" not in ran.stdout
