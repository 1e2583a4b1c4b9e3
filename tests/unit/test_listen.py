"""A port that changes hands between two listeners: the new one has all that come from then on."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

import pytest

from tests.support.transport_world import free_port
from zmqcluster.transport.listen import Port

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do it")


@pytest.fixture
def port() -> Iterator[Port]:
    port = Port("127.0.0.1", free_port())
    yield port
    port.close()


def test_port_is_taken_for_another_of_us(port: Port) -> None:
    with pytest.raises(OSError, match="in use"):
        Port(*port.listener.getsockname())


@linux_only
def test_port_that_changed_hands_is_taken_all_the_same(port: Port) -> None:
    port.renew()
    with pytest.raises(OSError, match="in use"):
        Port(*port.listener.getsockname())


@linux_only
def test_who_comes_after_the_change_gets_the_new_listener_and_connections_go_on(port: Port) -> None:
    first, address = port.listener.dup(), port.listener.getsockname()  # libzmq's copy
    with contextlib.ExitStack() as copies, first, socket.create_connection(address) as early:
        accepted, _ = first.accept()
        with accepted:
            for _ in range(3):
                port.renew()
                copies.enter_context(port.listener.dup())
                late = [socket.create_connection(address) for _ in range(40)]
                port.listener.settimeout(5)
                for client in late:
                    connection, _ = port.listener.accept()
                    connection.close()
                    client.close()
            accepted.sendall(b"still here")
            assert early.recv(10) == b"still here"
            first.setblocking(False)
            with pytest.raises(BlockingIOError):
                first.accept()


@linux_only
def test_v6_port_changes_hands_too() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this host")
    try:
        port = Port("::1", free_port())
    except OSError:
        pytest.skip("no IPv6 loopback")
    port.renew()
    with socket.create_connection(port.listener.getsockname()[:2]):
        port.listener.settimeout(5)
        port.listener.accept()[0].close()
    port.close()
