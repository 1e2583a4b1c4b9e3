"""What one node must reach by itself, where no peer does the same thing: figures to hold, in place of a baseline."""

from __future__ import annotations

from benchmarks.contender import serve

GOALS = {
    "otp.start_stop": 50_000.0,
    "otp.supervisor_start": 100_000.0,
    "otp.supervisor_restart_2000_ms": 60.0,
    "otp.monitor_demonitor": 1_000_000.0,
    "otp.registry_register": 500_000.0,
    "otp.registry_lookup": 3_000_000.0,
    "otp.reply_among_200k": 10.0,
    "otp.memory_100k_servers_mb": 60.0,
}

if __name__ == "__main__":
    serve({name: lambda name=name: {name: GOALS[name]} for name in GOALS})  # type: ignore[misc]
