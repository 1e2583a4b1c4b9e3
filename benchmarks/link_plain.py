"""zmqcluster between two OS processes on loopback without a cookie: what is left of ``link_ours`` without CURVE."""

from __future__ import annotations

from benchmarks.link_ours import main

if __name__ == "__main__":
    main("benchmarks.link_plain", cookie=None)
