"""What the zmq transport promises beyond the contract: bad settings, strangers at the port, a raising inlet."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from pathlib import Path

import pytest

from tests.support.transport_world import COOKIE, World, free_port, on_loop
from zmqcluster._ports import CallableInlet
from zmqcluster.errors import AlreadyRunning, ConfigError, FrameTooLarge, NameInUse, UsageError
from zmqcluster.ids import NodeName
from zmqcluster.transport import zmq as zmq_transport
from zmqcluster.transport.addresses import FREE_PORT_MAX, FREE_PORT_MIN, tcp_address
from zmqcluster.transport.interface import GOSSIP_BYTES_MAX, DialEvent
from zmqcluster.transport.rundir import local_endpoint, nearest


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World("tcp", tmp_path)


@on_loop
async def test_port_of_another_program_is_name_in_use_and_leaves_nothing_open(world: World, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        node = world.node(NodeName.parse(f"a@127.0.0.1:{other.getsockname()[1]}"))
        with pytest.raises(NameInUse, match="taken by another process"):
            await node.open()
        assert list(tmp_path.iterdir()) == []
        await node.transport.close()
    await node.open()
    assert node.endpoints.links


@on_loop
async def test_closed_node_leaves_no_files(world: World, tmp_path: Path) -> None:
    node = await world.open("a")
    assert list(tmp_path.iterdir()) != []
    await node.transport.close()
    assert list(tmp_path.iterdir()) == []


@on_loop
async def test_open_twice_is_an_error(world: World) -> None:
    node = await world.open("a")
    with pytest.raises(AlreadyRunning):
        await node.open()


@on_loop
async def test_address_of_another_machine_is_a_config_error_naming_the_way_out(world: World) -> None:
    with pytest.raises(ConfigError, match="listen="):
        await world.open(NodeName.parse("a@192.0.2.1:7101"), cookie=COOKIE)


@on_loop
async def test_all_interfaces_without_a_cookie_is_a_config_error(world: World) -> None:
    with pytest.raises(ConfigError, match="without a cookie"):
        await world.open("a", listen="0.0.0.0:7101")


@on_loop
async def test_listen_binds_elsewhere_and_the_name_is_advertised(world: World) -> None:
    port = free_port()
    a = await world.open("a")
    b = await world.open(NodeName.parse(f"b@localhost:{port}"), listen=f"127.0.0.1:{port}")
    assert tcp_address(b.endpoints.links[1]) in {("127.0.0.1", port), ("::1", port)}
    assert (await a.dial(f"tcp://127.0.0.1:{port}").connected()).push(b"hello")


@on_loop
async def test_listen_port_is_advertised_where_the_name_has_none(world: World) -> None:
    port = free_port()
    node = await world.open(NodeName.parse("a@127.0.0.1"), listen=f"127.0.0.1:{port}")
    assert node.endpoints.links[1] == f"tcp://127.0.0.1:{port}"


@on_loop
async def test_nodes_without_a_port_take_free_ones(world: World) -> None:
    for name in ("a", "b", "c"):
        node = await world.open(NodeName.parse(f"{name}@127.0.0.1"), any_port=True)
        for endpoint in (node.endpoints.links[1], node.endpoints.gossip[1]):
            address = tcp_address(endpoint)
            assert address is not None
            assert FREE_PORT_MIN <= address[1] <= FREE_PORT_MAX


@on_loop
async def test_second_node_without_a_port_but_of_the_same_name_is_name_in_use(world: World) -> None:
    name = NodeName.parse("a@127.0.0.1")
    await world.open(name, any_port=True)
    with pytest.raises(NameInUse, match="of this host runs it"):
        await world.open(name, any_port=True)


@on_loop
async def test_ipv6_node_is_reached(world: World) -> None:
    if not socket.has_ipv6 or not _has_ipv6_loopback():
        pytest.skip("no IPv6 on this host")
    a, b = await world.open("a"), await world.open(NodeName.parse(f"b@[::1]:{free_port()}"))
    assert b.link.startswith("tcp://[::1]:")
    assert (await a.dial(b.link).connected()).push(b"hello")
    await world.until(lambda: b.frames)
    a.transport.subscribe(b.gossip_endpoint)
    b.transport.start_beats(b"beat", 10)
    await world.until(lambda: a.gossip)


def _has_ipv6_loopback() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@on_loop
async def test_neighbours_find_each_other_through_the_run_directory(world: World, tmp_path: Path) -> None:
    a, b = await world.open("a"), await world.open("b")
    assert local_endpoint(b.name, tmp_path) == b.endpoints.links[0]
    assert nearest(b.endpoints.links) == b.endpoints.links[0]
    await b.transport.close()
    assert local_endpoint(b.name, tmp_path) is None
    assert nearest(b.endpoints.links) == b.endpoints.links[1]
    assert nearest(a.endpoints.gossip) == a.endpoints.gossip[0]


@pytest.mark.parametrize("endpoint", ["tcp://db7.local:7101", "tcp://127.0.0.1", "ipc://relative", "inproc://x", ""])
@on_loop
async def test_endpoint_that_libzmq_must_not_get_is_a_config_error(world: World, endpoint: str) -> None:
    a = await world.open("a")
    with pytest.raises(ConfigError, match="endpoint"):
        a.dial(endpoint)
    with pytest.raises(ConfigError, match="endpoint"):
        a.transport.subscribe(endpoint)


@on_loop
async def test_transport_that_is_not_open_dials_nobody_and_is_quiet_otherwise(world: World) -> None:
    node = world.node("a")
    with pytest.raises(UsageError, match="not open"):
        node.dial("tcp://127.0.0.1:7101")
    node.transport.publish(b"to nobody")
    node.transport.turned()
    node.transport.unsubscribe("tcp://127.0.0.1:7101")
    assert not node.transport.reply(b"\x00nobody", b"hello")


@on_loop
async def test_gossip_frame_too_large_for_subscribers_is_not_sent(world: World) -> None:
    node = await world.open("a")
    with pytest.raises(FrameTooLarge):
        node.transport.publish(bytes(GOSSIP_BYTES_MAX + 1))


@pytest.mark.parametrize("cookie", [None, COOKIE])
@on_loop
async def test_largest_gossip_frame_arrives(world: World, cookie: str | None) -> None:
    a, b = await world.open("a", cookie=cookie), await world.open("b", cookie=cookie)
    a.transport.subscribe(b.gossip_endpoint)
    b.transport.start_beats(b"beat", 10)
    await world.until(lambda: a.gossip)
    b.transport.publish(bytes(GOSSIP_BYTES_MAX))
    await world.until(lambda: bytes(GOSSIP_BYTES_MAX) in a.gossip)


def test_without_libzmqs_functions_it_says_so_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(zmq_transport, "load_library", lambda path: False)

    @on_loop
    async def scenario(world: World) -> None:
        a, b = await world.open("a"), await world.open("b")
        assert (await a.dial(b.link).connected()).push(b"hello")
        await world.until(lambda: b.frames)

    with caplog.at_level(logging.WARNING, "zmqcluster.transport"):
        scenario(world=World("tcp", tmp_path))
    assert "cannot be called directly" in caplog.text


@pytest.mark.parametrize("raw", [True, False])
@on_loop
async def test_inlet_that_raises_is_reported_and_the_other_frames_arrive(world: World, raw: bool) -> None:
    a, b = await world.open("a"), world.node("b", raw=raw)
    raised: list[object] = []
    frames: list[bytes] = []

    def feed(source: bytes, frame: bytes) -> None:
        frames.append(frame)
        world.tell("b", "frame", frame)
        if frame == b"1":
            raise ValueError("planted")

    b.inlet = CallableInlet(feed)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: raised.append(context["exception"]))
    await b.open()
    dialled = await a.dial(b.link).connected()
    for number in range(4):
        assert dialled.push(b"%d" % number)
    await world.until(lambda: len(frames) == 4)
    assert [repr(error) for error in raised] == [repr(ValueError("planted"))]


@pytest.mark.parametrize("raw", [True, False])
@on_loop
async def test_close_from_within_a_batch_waits_for_its_end(world: World, raw: bool) -> None:
    a, b = await world.open("a"), world.node("b", raw=raw)
    closing = b.transport.close()
    happened: list[str] = []

    def feed(source: bytes, frame: bytes) -> None:
        if not happened:
            closing.send(None)  # as a process does that the inlet runs: up to the first await
        happened.append("frame")

    def end() -> None:
        happened.append("end")
        world.tell("b", "end", None)

    b.inlet = CallableInlet(feed, end=end)
    await b.open()
    dialled = await a.dial(b.link).connected()
    assert dialled.push(b"hello")
    await world.until(lambda: "end" in happened)
    assert DialEvent.DISCONNECTED not in dialled.events
    with pytest.raises(StopIteration):
        closing.send(None)
    await dialled.until(DialEvent.DISCONNECTED)
    assert happened == ["frame", "end"]


@on_loop
async def test_listener_that_hangs_up_at_once_is_a_failed_handshake(world: World) -> None:
    a = await world.open("a")

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang_up, "127.0.0.1", free_port()) as server:
        port = server.sockets[0].getsockname()[1]
        dialled = a.dial(f"tcp://127.0.0.1:{port}")
        await world.until(lambda: dialled.events)
    assert dialled.events == [DialEvent.HANDSHAKE_FAILED]


@on_loop
async def test_listener_of_another_protocol_never_connects(world: World) -> None:
    a = await world.open("a", cookie=COOKIE)

    async def answer_as_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer_as_http, "127.0.0.1", free_port()) as server:
        port = server.sockets[0].getsockname()[1]
        dialled = a.dial(f"tcp://127.0.0.1:{port}")
        await world.until(lambda: dialled.events)
    assert dialled.events == [DialEvent.HANDSHAKE_FAILED]


@on_loop
async def test_beats_go_on_while_the_loop_is_blocked_and_say_how_long(world: World) -> None:
    a, b = await world.open("a"), await world.open("b")
    a.transport.subscribe(b.gossip_endpoint)
    b.transport.start_beats(b"", 10)
    await world.until(lambda: a.gossip)
    b.transport.turned()
    time.sleep(0.3)  # the callback that computes
    heard = len(a.gossip)
    await world.until(lambda: len(a.gossip) >= heard + 15)
    lags = [int.from_bytes(frame[8:], "big") for frame in a.gossip[heard:]]
    assert max(lags) >= 200
