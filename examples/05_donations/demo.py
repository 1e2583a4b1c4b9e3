"""The donation cluster: three nodes process a file of donations, one is killed on the way, nothing is lost.

python examples/05_donations/demo.py [donations.csv] [--rate 1000]

Exit code: 0 all donations finished and the zakat is right to the cent, 1 not so, 2 the file cannot be read.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from donations import BadRow, Donation, UnreadableFile, read
from nodes import make_nodes, new_settings
from report import Progress, table, zakat_table, zakat_totals
from run import Run

HERE = Path(__file__).parent
LIMIT_S = 50.0
BAD_ROWS_SHOWN = 10


async def process(donations: list[Donation], rate: float, log_folder: Path) -> Run:
    """Start the nodes, perform the run, end them; whatever happens none is left behind."""
    nodes = make_nodes("abc", log_folder)
    settings, progress = new_settings(len(nodes)), Progress()
    run = Run(nodes, donations, rate, progress.show, progress.note)
    try:
        for node in nodes:
            await node.start(settings, run.on_event, run.on_end)
            print(f"started {node.name}, pid {node.pid}")
        print("watch from a second terminal: python -m zmqcluster ls")
        async with asyncio.timeout(LIMIT_S):
            await run.perform()
    except TimeoutError:
        run.problems.append(f"not finished within {LIMIT_S:.0f} s")
    finally:
        await asyncio.gather(*(node.end() for node in nodes))
    return run


def report(run: Run, donations: list[Donation], log_folder: Path) -> int:
    answered, expected = zakat_totals(run, donations)
    print("", *table(run), "", *zakat_table(answered, expected), "", sep="\n")
    problems = list(run.problems)
    if len(run.zakat_of) < run.total:
        problems.append(f"{run.total - len(run.zakat_of):,} donations are not finished")
    away = [donor for donor, at in run.failovers.items() if at is None]
    if away:
        problems.append(f"{len(away):,} workers of the dead node do not run again, among them {', '.join(away[:5])}")
    if answered != expected:
        problems.append("the zakat differs from the file")
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    if problems:
        for log in sorted(log_folder.glob("*.log")):
            print(f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-20:], sep="\n", file=sys.stderr)
        return 1
    print(f"all {run.total:,} donations finished, the zakat is right to the cent")
    return 0


def warn_of_bad_rows(bad: list[BadRow], path: Path) -> None:
    for row in bad[:BAD_ROWS_SHOWN]:
        print(f"{path}:{row.line}: {row.problem}; this row is left out", file=sys.stderr)
    if len(bad) > BAD_ROWS_SHOWN:
        print(f"{path}: {len(bad) - BAD_ROWS_SHOWN:,} more bad rows are left out", file=sys.stderr)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="demo.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=HERE / "donations.csv")
    parser.add_argument("--rate", type=float, default=1000.0, help="donations/s up to 60 %%; 0: as fast as it goes")
    options = parser.parse_args(arguments)
    try:
        donations, bad = read(options.file)
    except UnreadableFile as error:
        print(f"cannot read the donations: {error}", file=sys.stderr)
        return 2
    warn_of_bad_rows(bad, options.file)
    if not donations:
        print(f"cannot read the donations: {options.file} has no good row", file=sys.stderr)
        return 2
    print(f"{len(donations):,} donations of {len({each.donor for each in donations}):,} donors from {options.file}")
    with tempfile.TemporaryDirectory(prefix="zmqcluster-demo-") as folder:
        run = asyncio.run(process(donations, options.rate, Path(folder)))
        return report(run, donations, Path(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
