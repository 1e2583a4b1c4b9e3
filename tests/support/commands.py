"""Nodes that ``python -m zmqcluster node`` starts, and the other commands run against them in this process.

    host.node("a@127.0.0.1", "--local").ready  ──> an OS process        host.run("ping", "a") ──> (code, out, err)
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.node_process import ROOT
from zmqcluster.__main__ import main

COOKIE = "a cookie for commands"
READY_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Child:
    """A node in an OS process of its own, on its way; several start at the same time. ``ready`` waits for it."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "zmqcluster", "node", *arguments],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                cwd=ROOT,
            )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @functools.cached_property
    def ready(self) -> str:
        """The line in which the node says where it listens."""
        return self.line()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("end of output")

    def line(self) -> str:
        try:
            return self._lines.get(timeout=READY_S_MAX)
        except queue.Empty:
            raise AssertionError(f"nothing was said within {READY_S_MAX} s\n{self.log.read_text()}") from None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """SIGSTOP, and SIGCONT in the end."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # it has stopped
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """End it in order; return its exit code."""
        self.process.terminate()
        return self.process.wait(READY_S_MAX)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Host:
    """A run directory, the nodes in it, and the commands of a user."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.children: list[Child] = []

    def elsewhere(self) -> Path:
        """Another run directory, from which nodes of this one are reached by tcp only."""
        path = self.run_dir / "o"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def environment(self, **changes: str | None) -> dict[str, str]:
        """That of a user who has the cookie, and no file of it; None: the variable is not set."""
        ours = {"ZMQCLUSTER_RUN_DIR": str(self.run_dir), "ZMQCLUSTER_COOKIE": COOKIE, "HOME": str(self.run_dir)}
        settings = {**os.environ, **ours, "PYTHONPATH": str(ROOT), **changes}
        return {name: value for name, value in settings.items() if value is not None}

    def node(self, *arguments: str, **changes: str | None) -> Child:
        child = Child(arguments, self.environment(**changes), self.run_dir / f"{len(self.children)}.log")
        self.children.append(child)
        return child

    def run(self, *arguments: str, **changes: str | None) -> Ran:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        settings = self.environment(**changes)
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            for name in [name for name in os.environ if name not in settings]:
                patch.delenv(name)
            for name, value in settings.items():
                patch.setenv(name, value)
            code = main(arguments)
        return Ran(code, out.getvalue(), err.getvalue())

    def close(self) -> None:
        for child in self.children:
            child.close()


@contextlib.contextmanager
def host_in(run_dir: Path) -> Iterator[Host]:
    run_dir.chmod(0o700)
    host = Host(run_dir)
    try:
        yield host
    finally:
        host.close()
