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

# --- links
FRAME_BYTES_FLUSH = 64 * 1024  # a batch is sent when it is this long, or at the end of the turn
WINDOW_BYTES = 8 * 1024 * 1024  # sent and not yet acknowledged
BUFFER_BYTES_MAX = 64 * 1024 * 1024  # waiting for a full or pending link; above it send raises LinkBusy
ACK_BYTES = WINDOW_BYTES // 8  # an acknowledgement goes out at least this often under one-way traffic
SETUP_MS_MAX = 7_000  # a handshake that takes longer has failed. Source: OTP net_setuptime

assert FRAME_BYTES_FLUSH < ACK_BYTES < WINDOW_BYTES < BUFFER_BYTES_MAX
assert CONTROL_BYTES_MAX < FRAME_BYTES_FLUSH
