"""What the kernel says of a connection whose descriptor is another's."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from zmqcluster.transport.sight import hang_up, look

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much was sent")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection: the accepted end, and the peer's."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            yield accepted, client


def test_peer_of_a_tcp_connection_is_its_address_and_port(pair: tuple[socket.socket, socket.socket]) -> None:
    accepted, client = pair
    sight = look(accepted.fileno())
    assert sight is not None
    assert sight.address == f"127.0.0.1:{client.getsockname()[1]}"
    accepted.send(b"still open")
    assert client.recv(10) == b"still open"


@linux_only
def test_bytes_of_both_ways_are_counted(pair: tuple[socket.socket, socket.socket]) -> None:
    accepted, client = pair
    client.send(b"123")
    accepted.recv(3)
    accepted.send(b"12345")
    sight = look(accepted.fileno())
    assert sight is not None
    assert (sight.received_bytes, sight.sent_bytes) == (3, 5)


def test_local_connection_is_this_hosts() -> None:
    one, other = socket.socketpair()
    with one, other:
        sight = look(one.fileno())
        assert sight is not None
        assert (sight.address, sight.is_local, sight.sent_bytes) == ("this host", True, None)


def test_what_is_no_connection_is_not_seen() -> None:
    reading, writing = os.pipe()
    assert look(reading) is None
    os.close(reading)
    os.close(writing)
    assert look(reading) is None


def test_unconnected_socket_is_not_seen() -> None:
    with socket.socket() as idle:
        assert look(idle.fileno()) is None


def test_hang_up_ends_the_connection_and_leaves_the_descriptor(pair: tuple[socket.socket, socket.socket]) -> None:
    accepted, client = pair
    assert hang_up(accepted.fileno(), f"127.0.0.1:{client.getsockname()[1]}")
    assert client.recv(1) == b""
    assert accepted.recv(1) == b""


def test_connection_of_another_peer_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    accepted, client = pair
    assert not hang_up(accepted.fileno(), "127.0.0.1:1")
    accepted.send(b"still open")
    assert client.recv(10) == b"still open"
