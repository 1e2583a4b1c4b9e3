"""Measure everything and write benchmarks/latest.json: ``make bench``, or ``python -m benchmarks.run [--only link]``.

Each measure is asked of zmqcluster and of its baselines in turn, round after round in one run, after one round to warm
up; so a slow phase of the machine slows all of them. The median of the rounds counts; quote the ratios.
BENCH_QUICK=1 shows in a minute that everything works, not how fast it is, and writes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmqcluster as zc
from benchmarks import beam
from benchmarks.plan import MEASURES, Measure, holds

OURS = "zmqcluster"
ROUNDS_COUNT = 5
ANSWER_S_MAX = 60.0
OUTPUT = Path(__file__).parent / "latest.json"
PACKAGES = ("pyzmq", "msgpack")
MODULES = {
    ("local", OURS): "benchmarks.local_ours",
    ("local", "asyncio_queue"): "benchmarks.local_queue",
    ("link", OURS): "benchmarks.link_ours",
    ("link", "plain"): "benchmarks.link_plain",
    ("link", "zmq_asyncio"): "benchmarks.link_zmq_asyncio",
    ("link", "zmq_blocking"): "benchmarks.link_blocking",
    ("link", "zmq_blocking_batched"): "benchmarks.link_blocking",
    ("link", "raw_echo"): "benchmarks.link_blocking",
    ("remote", OURS): "benchmarks.remote_ours",
    ("otp", OURS): "benchmarks.otp_ours",
    ("otp", "goal"): "benchmarks.otp_goals",
    ("groups", OURS): "benchmarks.groups_ours",
    ("detect", OURS): "benchmarks.detect_ours",
    ("mesh", OURS): "benchmarks.mesh_ours",
    ("link", "goal"): "benchmarks.cluster_goals",
    ("detect", "goal"): "benchmarks.cluster_goals",
    ("mesh", "goal"): "benchmarks.cluster_goals",
}
Row = dict[str, Any]
Rounds = dict[str, dict[str, list[float]]]  # contender -> figure -> one value per round


class Contender:
    """One process that measures on request; see benchmarks/contender.py."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self._command = name, command
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request: str) -> dict[str, float]:
        """Return the figures of one measure, by name.

        Raises:
            RuntimeError: the contender ended, and said why on stderr, or took too long and was killed.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        timer = threading.Timer(ANSWER_S_MAX, self._process.kill)
        timer.start()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{request}\n")
            self._process.stdin.flush()
        words = self._process.stdout.readline().split()
        timer.cancel()
        if not words:
            raise RuntimeError(f"{self.name} did not answer {request}: {' '.join(self._command)}")
        return {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def command_of(family: str, name: str, beam_folder: Path) -> list[str]:
    if name == "beam":
        nodes = [sys.executable, "-m", "benchmarks.beam", family, str(beam_folder)]
        return nodes if family in beam.RUNS else beam.local_command(beam_folder)
    return [sys.executable, "-m", MODULES[family, name]]


def request_of(measure: Measure, name: str) -> str:
    return f"{measure.request} batched" if name == "zmq_blocking_batched" else measure.request


@contextlib.contextmanager
def contenders_of(family: str, names: list[str], beam_folder: Path) -> Iterator[dict[str, Contender]]:
    with contextlib.ExitStack() as stack:
        running: dict[str, Contender] = {}
        for name in names:
            running[name] = Contender(name, command_of(family, name, beam_folder))
            stack.callback(running[name].close)
        yield running


def measure_rounds(measure: Measure, running: dict[str, Contender], rounds_count: int) -> Rounds:
    """Ask the contenders in turn; the first round warms up and does not count."""
    found: Rounds = {name: {figure: [] for figure in measure.figures()} for name in running}
    for number in range(rounds_count + 1):
        for name, contender in running.items():
            figures = contender.ask(request_of(measure, name))
            for figure in measure.figures() if number else ():
                found[name][figure].append(figures[figure])
    return found


def measure_fresh(measure: Measure, names: list[str], beam_folder: Path, rounds_count: int) -> Rounds:
    """As ``measure_rounds`` with new processes in each round, in which nothing needs to warm up."""
    found: Rounds = {name: {figure: [] for figure in measure.figures()} for name in names}
    for _ in range(rounds_count):
        with contenders_of(measure.request.split(".")[0], names, beam_folder) as running:
            for name, contender in running.items():
                for figure, value in contender.ask(request_of(measure, name)).items():
                    found[name][figure].append(value)
    return found


def rows_of(measure: Measure, rounds: Rounds, versions: dict[str, str]) -> list[Row]:
    """Return a row per figure and baseline."""
    rows = []
    for figure in measure.figures():
        value = statistics.median(rounds[OURS][figure])
        for name in rounds.keys() - {OURS}:
            baseline = statistics.median(rounds[name][figure])
            rows.append(
                {
                    "name": figure,
                    "value": value,
                    "unit": measure.unit,
                    "baseline_name": name,
                    "baseline": baseline,
                    "ratio": value / baseline if baseline else None,
                    "runs": len(rounds[OURS][figure]),
                    "python": platform.python_version(),
                    "versions": versions,
                }
            )
    order = [OURS, *measure.baselines]
    return sorted(rows, key=lambda row: (measure.figures().index(row["name"]), order.index(row["baseline_name"])))


def print_row(row: Row, kind: str) -> bool:
    """Print one line; return whether the floor holds, where there is one."""
    verdict = holds(row["name"], kind, row["value"], row["baseline_name"], row["ratio"])
    mark = {True: "ok", False: "BELOW ITS FLOOR", None: ""}[verdict]
    figures = f"{row['value']:>14,.5g}{row['unit']:>15}{row['baseline']:>14,.5g}  {row['baseline_name']:21}"
    print(f"{row['name']:32}{figures}{row['ratio']:>8.3g} {mark}".rstrip(), flush=True)
    return verdict is not False


def versions_here() -> dict[str, str]:
    versions = {"zmqcluster": zc.__version__, **{package: importlib.metadata.version(package) for package in PACKAGES}}
    if shutil.which("erl"):
        release = ["erl", "-noshell", "-eval", 'io:format("~s", [erlang:system_info(otp_release)]), halt().']
        versions["otp"] = subprocess.run(release, capture_output=True, text=True, check=True).stdout
    return versions


def measure_family(family: str, measures: list[Measure], has_beam: bool, rounds_count: int) -> tuple[list[Row], bool]:
    """Measure the local or the link figures, with one set of processes for all that need no fresh ones."""
    rows, all_hold, versions = [], True, versions_here()
    with tempfile.TemporaryDirectory() as folder:
        beam_folder = Path(folder)
        if has_beam:
            beam.compile_sources(beam_folder)
        wanted = dict.fromkeys(name for measure in measures for name in (OURS, *measure.baselines))
        names = [name for name in wanted if has_beam or name != "beam"]
        with contenders_of(family, names, beam_folder) as running:
            for measure in measures:
                own = [name for name in names if name in (OURS, *measure.baselines)]
                if measure.fresh:
                    rounds = measure_fresh(measure, own, beam_folder, rounds_count)
                else:
                    rounds = measure_rounds(measure, {name: running[name] for name in own}, rounds_count)
                for row in rows_of(measure, rounds, versions):
                    all_hold &= print_row(row, measure.kind)
                    rows.append(row)
    return rows, all_hold


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="measure only what begins with this; nothing is written")
    parser.add_argument("--rounds", type=int, default=ROUNDS_COUNT)
    parser.add_argument("--check", action="store_true", help="exit 1 where a floor does not hold")
    options = parser.parse_args(arguments)
    quick, has_beam = os.environ.get("BENCH_QUICK") == "1", shutil.which("erl") is not None
    if not has_beam:
        print("no erl on the PATH: the rows against beam are left out (on Debian: apt-get install erlang-base)")
    print(f"{'':32}{'zmqcluster':>14}{'':15}{'baseline':>14}{'':23}{'ratio':>8}  (rates: more is better, else less)")
    rows: list[Row] = []
    all_hold = True
    for family in ("local", "otp", "link", "remote", "groups", "detect", "mesh"):
        wanted = [each for each in MEASURES if each.request.startswith(options.only)]
        measures = [each for each in wanted if each.request.startswith(f"{family}.")]
        if measures:
            found, hold = measure_family(family, measures, has_beam, options.rounds)
            rows, all_hold = rows + found, all_hold and hold
    if not quick and not options.only:
        OUTPUT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(f"written to {OUTPUT.relative_to(Path.cwd()) if OUTPUT.is_relative_to(Path.cwd()) else OUTPUT}")
    return 1 if options.check and not all_hold else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
