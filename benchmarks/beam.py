"""Starts the Erlang contenders of ``beam/``: compiled once per run, no epmd, loopback only."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from pathlib import Path

from benchmarks.contender import serve
from benchmarks.fleet import NODES_COUNT, fleet
from benchmarks.peer import free_ports

SOURCES = Path(__file__).parent / "beam"
ENVIRONMENT = {**os.environ, "ERL_CRASH_DUMP": os.devnull}
INTERFACE = ("-kernel", "inet_dist_use_interface")


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


def run_groups(folder: str) -> int:
    """Run three nodes until the input ends: on one port, since there is no epmd, and an address each."""
    cookie, port = secrets.token_hex(8), str(free_ports(1)[0])

    def command(address: int, function: str) -> list[str]:
        interface = ["-kernel", "inet_dist_use_interface", f"{{127,0,0,{address}}}"]
        name = ["-name", f"bench_{port}@127.0.0.{address}", "-setcookie", cookie]
        no_epmd = ["-start_epmd", "false", "-erl_epmd_port", port]
        return ["erl", *name, *no_epmd, *interface, "-pa", folder, "-s", "groups_bench", function]

    with contextlib.ExitStack() as stack:
        for address in (2, 3):
            peer = subprocess.Popen([*command(address, "peer"), "-noinput"], stdout=sys.stderr, env=ENVIRONMENT)
            stack.callback(peer.wait)
            stack.callback(peer.terminate)
        environment = {**ENVIRONMENT, "BENCH_PEERS": f"bench_{port}@127.0.0.2 bench_{port}@127.0.0.3"}
        return subprocess.call([*command(1, "main"), "-noshell"], env=environment)


def run_detect(folder: str) -> int:
    """Run the measuring node until the input ends; it starts and kills its peers itself."""
    cookie, port = secrets.token_hex(8), str(free_ports(1)[0])
    distribution = ["-setcookie", cookie, "-start_epmd", "false", "-erl_epmd_port", port]
    name = f"bench_peer_{port}@127.0.0.1"
    peer = ["exec", "erl", "-noinput", "-name", name, *distribution, *INTERFACE, "'{127,0,0,1}'"]
    environment = {**ENVIRONMENT, "BENCH_PEER": name, "BENCH_PEER_COMMAND": " ".join(peer)}
    measuring = ["erl", "-noshell", "-name", f"bench_{port}@127.0.0.1", "-dist_listen", "false", "-pa", folder]
    return subprocess.call([*measuring, *distribution, "-s", "detect_bench", "main"], env=environment)


def run_mesh(folder: str) -> int:
    """Answer with how long twenty started nodes take: on one port, since there is no epmd, and an address each."""
    cookie, port = secrets.token_hex(8), str(free_ports(1)[0])
    names = [f"bench_{port}@127.0.0.{address}" for address in range(1, NODES_COUNT + 1)]

    def command(name: str) -> list[str]:
        interface = [*INTERFACE, "{" + name.rpartition("@")[2].replace(".", ",") + "}"]
        no_epmd = ["-setcookie", cookie, "-start_epmd", "false", "-erl_epmd_port", port]
        return ["erl", "-noshell", "-name", name, *no_epmd, *interface, "-pa", folder, "-s", "mesh_bench", "node"]

    def mesh() -> dict[str, float]:
        with fleet(names, command) as nodes:
            return {"mesh.20_ms": nodes.mesh_s() * 1000}

    serve({"mesh.20_ms": mesh})
    return 0


RUNS = {"link": run_link, "remote": run_link, "groups": run_groups, "detect": run_detect, "mesh": run_mesh}

if __name__ == "__main__":
    sys.exit(RUNS[sys.argv[1]](sys.argv[2]))
