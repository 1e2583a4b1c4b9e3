"""What a cluster must reach where no peer does the same thing: figures to hold, in place of a baseline."""

from __future__ import annotations

from benchmarks.contender import serve

GOALS = {
    "detect.kill9_ms": 20.0,
    "detect.sigstop_over_timeout": 1.10,
    "link.idle_cpu_share": 0.01,
    "mesh.20_ms": 700.0,
}

if __name__ == "__main__":
    serve({name: lambda name=name: {name: GOALS[name]} for name in GOALS})  # type: ignore[misc]
