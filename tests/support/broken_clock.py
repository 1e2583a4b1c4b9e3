"""Imported by a node, it puts the node's clock an hour ahead."""

from __future__ import annotations

import time

_time, _time_ns = time.time, time.time_ns
HOUR_S = 3_600

time.time = lambda: _time() + HOUR_S
time.time_ns = lambda: _time_ns() + HOUR_S * 10**9
