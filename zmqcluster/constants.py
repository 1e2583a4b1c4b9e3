"""The numbers of the package: each with its unit, its reason and its relation to the others."""

from __future__ import annotations

# --- names and addresses
DEFAULT_PORT = 7100  # a node whose name has no port; below the ephemeral range, where a DEALER could meet itself
NODE_NAME_BYTES_MAX = 255  # one length byte in every gossip frame

# --- scheduling (docs/decisions: turn length against timer lateness)
TURN_NS_MAX = 200_000  # a drain gives the loop back after this long: lateness under a flood is 2 to 3 turns
SERVER_MESSAGES_MAX = 64  # messages one server handles before the next process runs
RECEIVES_MAX = 256  # receives one coroutine does in a step before the next process runs

# --- values on the wire
DEPTH_MAX = 128  # nesting of a message
MESSAGE_BYTES_MAX = 128 * 1024 * 1024
CONTROL_BYTES_MAX = 16 * 1024  # HELLO and its answers

# --- functions run for other nodes
REMOTE_CALLS_MAX = 10_000  # at a time; each is a process of some 2 KB and what it holds

# --- links
FRAME_BYTES_FLUSH = 64 * 1024  # a batch is sent when it is this long, or at the end of the turn
LANE_BYTES = 128 * 1024  # an envelope above this leaves in parts, between those of other senders
WINDOW_BYTES_MAX = 8 * 1024 * 1024  # sent and not yet acknowledged
WINDOW_BYTES_MIN = 128 * 1024  # 50 ms of a link of 20 Mbit/s
ACK_BYTES = 64 * 1024  # an acknowledgement goes out at least this often under one-way traffic
QUEUE_NS = 50_000_000  # what is on the way may take so much longer than the least time; a small message waits behind it
PROBE_NS = 30_000_000_000  # between two measurements of that least time
BUSY_BYTES = 1024 * 1024  # waiting for a link: who sends more is held. Source: Erlang, dist_buf_busy_limit
BUFFER_BYTES_MAX = 32 * 1024 * 1024  # waiting for a full or pending link; above it send raises LinkBusy
SETUP_MS_MAX = 7_000  # a handshake that takes longer has failed. Source: OTP net_setuptime

assert ACK_BYTES <= FRAME_BYTES_FLUSH < WINDOW_BYTES_MIN < WINDOW_BYTES_MAX < BUFFER_BYTES_MAX
assert ACK_BYTES < WINDOW_BYTES_MIN and BUSY_BYTES < BUFFER_BYTES_MAX
assert CONTROL_BYTES_MAX < FRAME_BYTES_FLUSH
