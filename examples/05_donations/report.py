"""What the demo prints: a progress bar that fits a terminal or a log, and the table."""

import sys
from collections.abc import Iterator
from decimal import Decimal

from donations import Donation, totals, zakat_of
from run import Run

BAR_COUNT = 40


class Progress:
    """On a terminal one line that is rewritten; elsewhere a line at each tenth."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._shown = -1
        self._tenth = 0

    def show(self, run: Run) -> None:
        done, total = len(run.zakat_of), run.total
        permille = done * 1000 // total
        if permille == self._shown:
            return
        self._shown = permille
        filled = done * BAR_COUNT // total
        alive = sum(node.alive for node in run.nodes)
        bar = "#" * filled + "." * (BAR_COUNT - filled)
        line = f"[{bar}] {done:,} of {total:,}  {alive} nodes, {len(run.starts):,} workers"
        if self._is_terminal:
            sys.stdout.write(f"\r{line}\x1b[K" + ("\n" if done == total else ""))
        elif done * 10 // total > self._tenth:
            self._tenth = done * 10 // total
            print(line)
        sys.stdout.flush()

    def note(self, line: str) -> None:
        print(f"\r{line}\x1b[K" if self._is_terminal else line, flush=True)


def zakat_totals(run: Run, donations: list[Donation]) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Return the zakat per currency as the workers answered, and straight from the file."""
    answered = [(each.currency, run.zakat_of[each.id]) for each in donations if each.id in run.zakat_of]
    return totals(answered), totals((each.currency, zakat_of(each.amount)) for each in donations)


def table(run: Run) -> list[str]:
    """Return the lines of the table: nodes, times, throughput."""
    before, after = run.starts.workers_at(run.killed_at), run.starts.workers_at(run.finished_at)
    lines = [f"{'':26}{'workers':^18}{'donations':^18}{'calls':^18}".rstrip()]
    lines.append(f"{'node':26}" + f"{'before':>9}{'after':>9}" * 3)
    for node in run.nodes:
        counts = [
            *(before[node.name], after[node.name]),
            *(run.before.donations[node.name], run.after.donations[node.name]),
            *(run.before.calls[node.name], run.after.calls[node.name]),
        ]
        label = f"{node.name} killed" if node is run.victim else node.name
        lines.append(f"{label:26}" + "".join(f"{count:>9,}" for count in counts))
    return [*lines, "", *(f"{name:28}{text}" for name, text in _times(run))]


def _times(run: Run) -> Iterator[tuple[str, str]]:
    heard = sorted((name.partition("@")[0], (at - run.killed_at) * 1000) for name, at in run.nodedown_at.items())
    yield "kill to nodedown", ", ".join(f"{ms:.1f} ms on {name}" for name, ms in heard)
    failovers = run.failovers
    back = [at for at in failovers.values() if at is not None]
    if back:
        ms = (max(back) - run.killed_at) * 1000
        yield "kill to all workers back", f"{ms:.0f} ms; {len(back):,} of {len(failovers):,} run elsewhere"
    errors = ", ".join(f"{count:,} {name}" for name, count in run.retried.most_common())
    yield "calls retried", f"{run.retried.total():,}{f' ({errors})' if errors else ''}"
    seconds, count = run.finished_at - run.hurried_at, run.total - run.hurried_from
    if run.hurried_at and seconds > 0:
        yield "throughput", f"{count / seconds:,.0f} donations/s over the last {count:,}, as fast as it goes"


def zakat_table(answered: dict[str, Decimal], expected: dict[str, Decimal]) -> list[str]:
    lines = [f"{'zakat total':12}{'from the workers':>22}{'from the file':>22}"]
    for currency in sorted(expected):
        got = answered.get(currency, Decimal(0))
        verdict = "equal" if got == expected[currency] else "DIFFERENT"
        lines.append(f"{currency:12}{got:>22,}{expected[currency]:>22,}   {verdict}")
    return lines
