"""Starts the Erlang contenders of ``beam/``: compiled once per run, no epmd, loopback only."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

from benchmarks.peer import free_ports

SOURCES = Path(__file__).parent / "beam"
ENVIRONMENT = {**os.environ, "ERL_CRASH_DUMP": os.devnull}


def compile_sources(folder: Path) -> None:
    """Compile the programs into ``folder``.

    Raises:
        subprocess.CalledProcessError: the compiler refused one; it said why on stderr.
    """
    subprocess.run(["erlc", "-o", str(folder), *map(str, sorted(SOURCES.glob("*.erl")))], check=True)


def local_command(folder: Path) -> list[str]:
    return ["erl", "-noshell", "-pa", str(folder), "-s", "local_bench", "main"]


def run_link(folder: str) -> int:
    """Run the pair of nodes until the input ends."""
    cookie, port = secrets.token_hex(8), str(free_ports(1)[0])
    distribution = ["-setcookie", cookie, "-start_epmd", "false", "-erl_epmd_port", port, "-pa", folder]
    peer_name = f"bench_peer_{port}@127.0.0.1"
    loopback = ["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
    with subprocess.Popen(
        ["erl", "-noinput", "-name", peer_name, *distribution, *loopback, "-s", "link_bench", "peer"],
        stdout=sys.stderr,
        env=ENVIRONMENT,
    ) as peer:
        measuring = ["erl", "-noshell", "-name", f"bench_{port}@127.0.0.1", "-dist_listen", "false", *distribution]
        try:
            environment = {**ENVIRONMENT, "BENCH_PEER": peer_name}
            return subprocess.call([*measuring, "-s", "link_bench", "main"], env=environment)
        finally:
            peer.terminate()


if __name__ == "__main__":
    sys.exit(run_link(sys.argv[1]))
