"""Fuzz one target for a while: ``python -m tests.fuzz decoder 60``, or all of them with no target.

With atheris installed (``pip install zmqcluster[fuzz]``) ``--atheris`` follows the coverage of the
Python parts. A finding is written to ``tests/fuzz/corpus/<target>/found-<hash>``: commit it with its repair.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
import tempfile
import time
from collections.abc import Callable
from random import Random

from tests.fuzz.mutation import inputs
from tests.fuzz.seeds import CORPUS
from tests.fuzz.targets import TARGETS

SECONDS = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", nargs="?", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--atheris", action="store_true", help="follow the coverage; needs a target")
    options = parser.parse_args()
    if options.atheris:
        follow_coverage(options.target, options.seconds)
        return 0
    names = list(TARGETS) if options.target == "all" else [options.target]
    return max(run(name, options.seconds, options.seed) for name in names)


def run(name: str, seconds: float, seed: int) -> int:
    corpus = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    ends_s, count = time.monotonic() + seconds, 0
    for content in inputs(corpus, Random(seed)):
        if time.monotonic() > ends_s:
            break
        count += 1
        if not survives(name, content):
            return 1
    print(f"{name}: {count:,} inputs, seed {seed}, no finding", flush=True)
    return 0


def survives(name: str, content: bytes) -> bool:
    try:
        TARGETS[name](content)
    except Exception as error:
        path = CORPUS / name / f"found-{hashlib.blake2b(content, digest_size=6).hexdigest()}"
        path.write_bytes(content)
        print(f"{name}: {type(error).__name__}: {error}\nwritten to {path}", flush=True)
        return False
    return True


def follow_coverage(name: str, seconds: float) -> None:
    """Never returns: libFuzzer ends the process. What it finds worth keeping goes into a folder of its own."""
    if name == "all":
        sys.exit("--atheris needs a target")
    atheris = importlib.import_module("atheris")
    atheris.instrument_all()
    target: Callable[[bytes], None] = TARGETS[name]
    kept = tempfile.mkdtemp(prefix=f"zmqcluster-fuzz-{name}-")
    limits = [f"-max_total_time={int(seconds)}", "-max_len=4096", f"-artifact_prefix={CORPUS / name}/found-"]
    atheris.Setup([sys.argv[0], *limits, kept, str(CORPUS / name)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
