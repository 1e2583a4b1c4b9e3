"""Who may be at the door: so many handshakes, so many bytes before one is over, so many connections of one host."""

from __future__ import annotations

from zmqcluster.transport.sight import Sight
from zmqcluster.transport.visitors import CONNECTIONS_PER_ADDRESS_MAX, EARLY_BYTES_MAX, Visitors

ANSWERED_BYTES = 234
PENDING_MAX = 8


class Kernel:
    """What the kernel would say of each descriptor."""

    def __init__(self) -> None:
        self.sights: dict[int, Sight] = {}

    def connect(self, fd: int, host: str = "10.0.0.7", received_bytes: int = 0, sent_bytes: int | None = 64) -> int:
        self.sights[fd] = Sight(host, 40_000 + fd, received_bytes, sent_bytes)
        return fd

    def look(self, fd: int) -> Sight | None:
        return self.sights.get(fd)


def world(answered_bytes: int | None = ANSWERED_BYTES) -> tuple[Kernel, Visitors]:
    kernel = Kernel()
    return kernel, Visitors(PENDING_MAX, answered_bytes, kernel.look)


def test_handshake_is_pending_until_libzmq_has_answered_it() -> None:
    kernel, visitors = world()
    assert visitors.accepted(kernel.connect(5)) == []
    assert visitors.review() == []
    assert visitors.has_pending
    kernel.connect(5, received_bytes=600, sent_bytes=ANSWERED_BYTES + 60)
    assert visitors.review() == []
    assert not visitors.has_pending
    left = visitors.left(5)
    assert left is not None
    assert (left.address, left.is_admitted) == ("10.0.0.7:40005", True)
    assert len(visitors) == 0


def test_handshakes_that_libzmq_tells_of_are_counted_in_the_order_of_their_coming() -> None:
    kernel, visitors = world()
    for fd in (5, 6):
        visitors.accepted(kernel.connect(fd, "this host", 0, None))
    visitors.succeeded()
    first, second = visitors.left(5), visitors.left(6)
    assert first and second
    assert (first.is_admitted, second.is_admitted) == (True, False)
    visitors.succeeded()  # of nobody we know


def test_what_libzmq_tells_does_not_end_the_watch_on_a_handshake() -> None:
    kernel, visitors = world()
    visitors.accepted(kernel.connect(5))
    visitors.succeeded()
    kernel.connect(5, received_bytes=EARLY_BYTES_MAX + 1)
    assert [cut.fd for cut in visitors.review()] == [5]


def test_admitted_connection_may_send_what_it_likes() -> None:
    kernel, visitors = world()
    visitors.accepted(kernel.connect(5, sent_bytes=ANSWERED_BYTES + 60))
    visitors.review()
    kernel.connect(5, received_bytes=10**9, sent_bytes=10**6)
    assert visitors.review() == []


def test_too_many_bytes_before_the_handshake_is_over_are_cut() -> None:
    kernel, visitors = world()
    visitors.accepted(kernel.connect(5, received_bytes=EARLY_BYTES_MAX))
    assert visitors.review() == []
    kernel.connect(5, received_bytes=EARLY_BYTES_MAX + 1)
    (cut,) = visitors.review()
    assert (cut.fd, cut.address) == (5, "10.0.0.7:40005")
    assert "before its handshake was over" in cut.problem
    assert visitors.review() == []


def test_of_too_many_handshakes_the_oldest_go() -> None:
    kernel, visitors = world()
    cuts = [cut for fd in range(PENDING_MAX + 1) for cut in visitors.accepted(kernel.connect(fd))]
    assert [cut.fd for cut in cuts] == [0, 1, 2]
    assert {cut.problem for cut in cuts} == {"too many handshakes at once"}


def test_finished_handshakes_make_room_first() -> None:
    kernel, visitors = world()
    for fd in range(PENDING_MAX):
        visitors.accepted(kernel.connect(fd))
        kernel.connect(fd, sent_bytes=ANSWERED_BYTES + 60)
    assert visitors.accepted(kernel.connect(PENDING_MAX)) == []


def test_connections_of_one_host_are_counted_and_those_of_others_are_not() -> None:
    kernel, visitors = world(answered_bytes=None)
    for fd in range(CONNECTIONS_PER_ADDRESS_MAX):
        assert visitors.accepted(kernel.connect(fd)) == []
    (cut,) = visitors.accepted(kernel.connect(1000))
    assert (cut.fd, "more than" in cut.problem) == (1000, True)
    assert visitors.accepted(kernel.connect(1001, host="10.0.0.8")) == []
    visitors.left(1000)
    visitors.left(0)
    assert visitors.accepted(kernel.connect(1002)) == []


def test_neighbours_of_this_host_are_not_counted() -> None:
    kernel, visitors = world()
    count = CONNECTIONS_PER_ADDRESS_MAX + PENDING_MAX + 10
    assert [visitors.accepted(kernel.connect(fd, "this host", 0, None)) for fd in range(count)] == [[]] * count


def test_descriptor_that_became_another_connection_is_let_alone() -> None:
    kernel, visitors = world()
    visitors.accepted(kernel.connect(5))
    kernel.sights[5] = Sight("10.0.0.9", 1, EARLY_BYTES_MAX * 2, 64)
    assert visitors.review() == []
    assert not visitors.has_pending


def test_descriptor_accepted_again_counts_once() -> None:
    kernel, visitors = world()
    for _ in range(3):
        visitors.accepted(kernel.connect(5))
    assert len(visitors) == 1
    assert visitors.left(5) is not None
    assert visitors.left(5) is None


def test_connection_that_is_gone_by_the_time_we_hear_of_it_has_an_unknown_address() -> None:
    _, visitors = world()
    assert visitors.accepted(5) == []
    assert not visitors.has_pending
    left = visitors.left(5)
    assert left is not None
    assert (left.address, left.is_admitted) == ("an unknown address", False)
    assert len(visitors) == 0
