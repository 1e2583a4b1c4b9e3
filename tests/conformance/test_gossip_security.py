"""Cases X of gossip security, from memberlist, serf, libcluster and OTP. X04 and X05 are in test_keyring_live."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.guarded import Guarded, Traffic, asynchronous, settled
from tests.support.guarded import guarded as guarded
from tests.support.node_process import free_port
from tests.support.zmtp import Wire, greeting
from zmqcluster.core import decode
from zmqcluster.errors import ConfigError, DatagramRefused, DecodeError
from zmqcluster.runtime.node import Node
from zmqcluster.transport.curve import derive
from zmqcluster.transport.datagrams import DATAGRAM_BYTES_MAX, Datagrams
from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.proof import Identity, Prover, Verifier
from zmqcluster.transport.sealed import OVERHEAD_BYTES, Sealer
from zmqcluster.transport.ways import Encryption
from zmqcluster.wire.codec import unpack

COOKIE = "twenty random letters"
HOUR_MS = 3_600_000


class Clock:
    """The time of day, until it is set."""

    ahead_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


class Receiver:
    """Datagrams at a port of loopback, and whatever was made of them."""

    def __init__(self, cookie: str = COOKIE) -> None:
        self.clock = Clock()
        self.address = ("127.0.0.1", free_port())
        self.taken: list[bytes] = []
        self.refused: list[str] = []
        self.datagrams = Datagrams(
            asyncio.get_running_loop(),
            f"tcp://127.0.0.1:{self.address[1]}",
            lambda content, source: self.taken.append(content),
            sealer=Sealer(Keyring(cookie), self.clock),
            on_refused=lambda source, problem: self.refused.append(problem),
        )

    async def told(self, *datagrams: bytes) -> None:
        """Send them all from a port of their own, and wait until they were looked at."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for datagram in datagrams:
                before = len(self.taken) + self.datagrams.refused_count
                sender.sendto(datagram, self.address)
                await settled(lambda before=before: len(self.taken) + self.datagrams.refused_count > before)


@contextlib.asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    try:
        yield one
    finally:
        one.datagrams.close()


def sealed(content: bytes = b"alive", cookie: str = COOKIE) -> bytes:
    return Sealer(Keyring(cookie), Clock()).seal(content)


def on_loop(test: Callable[[Receiver], object]) -> Callable[[], None]:
    def run() -> None:
        async def bounded() -> None:
            async with asyncio.timeout(20), receiver() as one:
                await test(one)  # type: ignore[misc]

        asyncio.run(bounded())

    run.__name__ = test.__name__
    return run


@on_loop
async def test_x_01_unsigned_forged_truncated_and_changed_packets_are_dropped_and_counted(one: Receiver) -> None:
    good = sealed()
    flipped = [good[:at] + bytes((good[at] ^ 1 << at % 8,)) + good[at + 1 :] for at in range(len(good))]
    bad = [b"alive", sealed(cookie="another"), good[:-1], good + b"\0", good[:OVERHEAD_BYTES], b"", *flipped]
    await one.told(*bad)
    assert one.taken == []
    assert one.datagrams.refused_count == len(bad)
    assert one.refused
    await one.told(good)
    assert one.taken == [b"alive"]


@on_loop
async def test_x_02_recorded_packet_is_refused_later_and_from_anywhere(one: Receiver) -> None:
    recorded, unseen = sealed(), sealed(b"never arrived")
    await one.told(recorded)
    for later_ms in (0, 1_000, HOUR_MS):
        one.clock.ahead_ms = later_ms
        await one.told(recorded, recorded)  # each time from another port
    await one.told(unseen)  # held back for an hour
    assert one.taken == [b"alive"]
    assert one.datagrams.refused_count == 7


@asynchronous
async def test_x_07_plaintext_cluster_is_upgraded_to_encryption_while_it_works(guarded: Guarded) -> None:
    ladder: list[Encryption] = ["none", "listen_none", "listen_curve", "curve"]
    nodes = [await guarded.start(letter, cookie=COOKIE, encryption="none") for letter in "abc"]
    steady = nodes[0]
    for step in ladder[1:]:
        for letter in "cb":  # a is restarted last, and meets those that are a step ahead
            await guarded.stop(letter)
            await joined(await guarded.start(letter, cookie=COOKIE, encryption=step), guarded)
        await guarded.stop("a")
        steady = await guarded.start("a", cookie=COOKIE, encryption=step)
        await joined(steady, guarded)
    traffic = Traffic(steady, guarded.nodes["b"])
    await settled(lambda: len(traffic.received) > 100)
    await traffic.end()
    plain = await guarded.start("p", cookie=COOKIE, encryption="none")
    assert not await plain.connect(str(steady.name), timeout_s=1)


async def joined(node: Node, guarded: Guarded) -> None:
    """The node is connected to all others, each way."""
    others = [each for letter, each in guarded.nodes.items() if each is not node and letter in "abc"]
    for other in others:
        assert await node.connect(str(other.name))
        await settled(lambda other=other: str(node.name) in other.nodes())


def test_x_08_a_hundred_thousand_forged_packets_leave_nothing_behind() -> None:
    opener = Sealer(Keyring(COOKIE), Clock())
    genuine = sealed(b"name 0")
    for number in range(100_000):
        with contextlib.suppress(DatagramRefused):
            opener.open(genuine[:-16] + number.to_bytes(16, "big"))
            pytest.fail("it was opened")
    assert len(opener._freshness) == 0
    assert opener.open(genuine) == b"name 0"


@asynchronous
async def test_x_08_only_authenticated_names_are_remembered_and_dialled(guarded: Guarded) -> None:
    node = await guarded.start("a", cookie=COOKIE)
    address = ("127.0.0.1", int(node.link_endpoints[1].rpartition(":")[2]))

    def attack() -> None:
        for number in range(100):
            with Wire(address) as wire, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                wire.send(greeting(b"CURVE") + b"hello, I am x%d@10.9.9.9" % number)
                datagrams.sendto(b"hello, I am x%d@10.9.9.9" % number, address)

    await asyncio.to_thread(attack)
    assert node.links is not None
    assert len(node.links.peers) == 0


def test_x_10_nothing_unfolds_beyond_its_limit() -> None:
    """Nothing is compressed on the wire; what remains are numbers that announce more than there is."""
    for bomb in (b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91" * 1_000):
        with pytest.raises(DecodeError):
            decode(bomb)
        with pytest.raises(DecodeError):
            unpack(bomb)
    with pytest.raises(DecodeError):
        unpack(b"\xdc\x3f\xff" + b"\x80" * 0x3FFF)  # as many empty maps as a control frame may hold


@on_loop
async def test_x_10_datagram_longer_than_the_limit_is_not_taken(one: Receiver) -> None:
    await one.told(sealed(bytes(DATAGRAM_BYTES_MAX)))
    assert len(one.taken) == 1
    await one.told(sealed(bytes(DATAGRAM_BYTES_MAX + 1)), sealed(bytes(30_000)))
    assert len(one.taken) == 1


def test_x_11_handshake_is_mutual_fresh_and_bound_and_shows_no_secret() -> None:
    a, b, c = Identity("a@10.0.0.5", 17), Identity("b@10.0.0.6", 18), Identity("b@10.0.0.6", 19)
    dialler, acceptor = Prover(derive(COOKIE), a), Verifier(Keyring(COOKIE), b)
    wire = [dialler.ask()]
    for number in range(3):
        answer = acceptor.on_frame(b"1", wire[-1]) if number % 2 == 0 else dialler.on_reply(wire[-1])
        assert answer is not None
        wire.append(answer)
    dialler.on_reply(wire[-1])
    assert (dialler.is_done, acceptor.identity(b"1")) == (True, a)
    # Fresh nonces from both: the same nodes say something else each time.
    again = Prover(derive(COOKIE), a)
    assert again.ask() != wire[0]
    assert acceptor.on_frame(b"2", again.ask()) != acceptor.on_frame(b"1", wire[0])
    # Bound to both lives: the next one of the acceptor has no use for it.
    assert Verifier(Keyring(COOKIE), c).on_frame(b"1", wire[2]) is None
    # Reflection: who is sent its own words back is not convinced.
    victim = Prover(derive(COOKIE), b)
    assert acceptor.on_frame(b"3", victim.ask()) is not None
    for own in (victim.ask(), wire[2]):
        victim.on_reply(own)
    assert not victim.is_done
    # Neither the cookie nor a plain hash of it, nor a key.
    said = b"".join(wire)
    key = derive(COOKIE)
    hashes = [hashlib.new(name, COOKIE.encode()).digest() for name in ("md5", "sha1", "sha256", "blake2b")]
    assert not any(secret in said for secret in [COOKIE.encode(), key.curve, key.proof, key.token, key.seal, *hashes])


@pytest.mark.parametrize("encryption", ["curve", "none"])
@asynchronous
async def test_x_13_others_than_the_allowed_networks_are_refused_before_anything_is_read(
    guarded: Guarded, encryption: Encryption, caplog: pytest.LogCaptureFixture
) -> None:
    node = await guarded.start("a", cookie=COOKIE, encryption=encryption, allow=["127.0.0.2/32", "fd00::/8"])
    address = ("127.0.0.1", int(node.link_endpoints[1].rpartition(":")[2]))

    def greeted(source: str) -> bytes:
        with socket.create_connection(address, timeout=5, source_address=(source, 0)) as connection:
            connection.settimeout(2)
            with contextlib.suppress(OSError):
                return connection.recv(100)
        return b""

    assert (await asyncio.to_thread(greeted, "127.0.0.2"))[:1] == b"\xff"
    assert await asyncio.to_thread(greeted, "127.0.0.1") == b""
    await settled(lambda: node.counters["auth_failed"])
    assert "only 127.0.0.2/32, fd00::/8 may connect" in caplog.text
    stranger = await guarded.start("b", cookie=COOKIE, encryption=encryption)
    assert not await stranger.connect(str(node.name), timeout_s=1)


@pytest.mark.parametrize("listen", ["0.0.0.0", "[::]", "192.0.2.1"])
@asynchronous
async def test_x_14_without_a_secret_only_loopback_is_bound(
    guarded: Guarded, listen: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("ZMQCLUSTER_COOKIE", "ZMQCLUSTER_COOKIE_FILE"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match="without a cookie"):
        await guarded.start("a", listen=f"{listen}:{free_port()}")
    loopback = await guarded.start("b")
    assert loopback.keyring is None
    if listen == "0.0.0.0":  # told explicitly: with a cookie, however it is used
        for letter, encryption in (("c", "curve"), ("d", "none")):
            assert await guarded.start(letter, listen=f"{listen}:{free_port()}", cookie=COOKIE, encryption=encryption)
