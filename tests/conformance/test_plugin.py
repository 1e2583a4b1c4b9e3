"""The pytest plugin, on small test files of its own: what it runs, what it fails, and what it leaves alone."""

from __future__ import annotations

import pytest

import zmqcluster
from zmqcluster.testing import plugin

pytest_plugins = ["pytester"]

LOADED = (zmqcluster, plugin)  # before the runs below, which put sys.modules back as it was
HEAD = """
import asyncio
import pytest
import zmqcluster as zc

class Counter(zc.GenServer):
    def init(self):
        self.total = 0

    @zc.call
    def add(self, amount: int) -> int:
        self.total += amount
        return self.total

async def forever():
    await zc.receive(lambda _: False)
"""


@pytest.fixture(autouse=True)
def no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be imported anew by each run: three seconds."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def ran(pytester: pytest.Pytester, tests: str, **outcomes: int) -> str:
    """Run a file with ``tests`` in it, check the outcomes, and return what was printed."""
    pytester.makepyfile(f"{HEAD}\n{tests}")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--strict-markers", "-W", "error", plugins=[plugin])
    result.assert_outcomes(**outcomes)
    return "\n".join(result.outlines)


def test_async_test_with_node_then_it_is_a_process_of_that_node(pytester: pytest.Pytester) -> None:
    ran(
        pytester,
        """
async def test_counts(node):
    assert zc.node() is node and zc.self().node == "nonode@nohost"
    counter = await Counter.start_link()
    assert await counter.add(2) == 2

async def test_has_other_fixtures_too(node, tmp_path):
    assert tmp_path.exists()

@pytest.mark.parametrize("amount", [1, 2])
async def test_is_parametrized(node, amount):
    counter = await Counter.start_link()
    assert await counter.add(amount) == amount

class TestClass:
    async def test_is_a_method(self, node):
        assert zc.node() is node
""",
        passed=5,
    )


def test_async_test_with_the_mark_alone_then_it_runs_on_a_node(pytester: pytest.Pytester) -> None:
    ran(pytester, "@pytest.mark.zmqcluster\nasync def test_x():\n    zc.send(zc.self(), 1)\n", passed=1)


def test_time_is_virtual(pytester: pytest.Pytester) -> None:
    printed = ran(
        pytester,
        """
async def test_an_hour(node):
    before = asyncio.get_running_loop().time()
    await asyncio.sleep(500)
    assert asyncio.get_running_loop().time() - before >= 500
""",
        passed=1,
    )
    assert "passed in" in printed


def test_failure_then_it_is_shown_in_the_code_of_the_test(pytester: pytest.Pytester) -> None:
    printed = ran(
        pytester,
        """
async def test_wrong(node):
    counter = await Counter.start_link()
    assert await counter.add(2) == 3

async def test_skipped(node):
    pytest.skip("not today")
""",
        failed=1,
        skipped=1,
    )
    assert "assert 2 == 3" in printed and "left behind" not in printed


def test_linked_process_crashes_then_the_test_fails_with_its_reason(pytester: pytest.Pytester) -> None:
    printed = ran(
        pytester,
        """
async def crash():
    raise ValueError("broken on purpose")

async def test_x(node):
    zc.spawn_link(crash)
    await zc.receive()
""",
        failed=1,
    )
    assert "ServerExited" in printed and "broken on purpose" in printed


def test_test_that_waits_for_ever_then_it_fails_and_says_where(pytester: pytest.Pytester) -> None:
    printed = ran(
        pytester,
        """
@pytest.mark.zmqcluster(within_s=5)
async def test_x(node):
    await zc.receive()
""",
        failed=1,
    )
    assert "not done after 5 virtual seconds" in printed


def test_process_is_left_then_the_failure_names_the_line_that_started_it(pytester: pytest.Pytester) -> None:
    printed = ran(
        pytester,
        """
async def test_forgets(node):
    zc.spawn(forever)
    await Counter.start(name="counter")
""",
        failed=1,
    )
    assert "the test has left behind:" in printed
    assert "forever, started in test_forgets at test_process" in printed and ".py:19" in printed
    assert "counter, started in test_forgets at " in printed and ".py:20" in printed


def test_timer_and_task_are_left_then_the_failure_names_them(pytester: pytest.Pytester) -> None:
    printed = ran(
        pytester,
        """
async def test_forgets(node):
    zc.send_after(1000, zc.self(), "late")
    global task
    task = asyncio.create_task(asyncio.sleep(1000))
""",
        failed=1,
    )
    assert "s to go, started in test_forgets at " in printed
    assert "task sleep, started in test_forgets at " in printed


def test_what_is_linked_to_the_test_or_ends_soon_is_not_left(pytester: pytest.Pytester) -> None:
    ran(
        pytester,
        """
class Tree(zc.Supervisor):
    children = [Counter, zc.ChildSpec("slow", Counter)]

async def soon():
    await zc.receive(timeout_s=None, match="end")

async def brief():
    await asyncio.sleep(1)

async def test_x(node):
    await Tree.start_link()
    zc.spawn_link(forever)
    zc.send(zc.spawn(soon), "end")
    zc.spawn(brief)
    zc.cancel_timer(zc.send_after(1000, zc.self(), "late"))
    await asyncio.create_task(asyncio.sleep(1))
""",
        passed=1,
    )


def test_messages_are_copied_unless_the_mark_says_not(pytester: pytest.Pytester) -> None:
    printed = ran(
        pytester,
        """
async def test_shares(node):
    zc.send(zc.self(), amounts := [1])
    amounts.append(2)
    assert await zc.receive() == [1]

async def test_cannot_travel(node):
    zc.send(zc.self(), object())

@pytest.mark.zmqcluster(copy_messages=False)
async def test_shares_all_the_same(node):
    zc.send(zc.self(), amounts := [1])
    amounts.append(2)
    assert await zc.receive() == [1, 2]
""",
        passed=2,
        failed=1,
    )
    assert "EncodeError" in printed


def test_cluster_then_the_test_runs_on_the_first_of_connected_nodes(pytester: pytest.Pytester) -> None:
    ran(
        pytester,
        """
async def serve(name):
    counter = await Counter.start(name=name)
    await zc.receive("end")
    await zc.stop(counter.pid)

async def test_three(cluster):
    assert len(zc.nodes()) == 2
    b = cluster.full_name("b")
    pid = cluster.spawn("b", serve, "counter")
    await asyncio.sleep(1)
    assert await Counter.at(("counter", b)).add(2) == 2
    zc.send(pid, "end")

@pytest.mark.zmqcluster(nodes=2, seed=5)
async def test_cut(cluster):
    zc.monitor_nodes()
    cluster.cut({"a"}, {"b"})
    assert isinstance(await zc.receive(), zc.NodeDown)
    cluster.heal()
    assert isinstance(await zc.receive(), zc.NodeUp)

async def test_crash(cluster):
    cluster.spawn("b", forever)
    cluster.crash("b")
    zc.monitor_nodes()
    assert isinstance(await zc.receive(), zc.NodeDown)

def test_plain(cluster):
    cluster.stop("c")
    assert len(cluster.node("a").nodes()) == 1
""",
        passed=4,
    )


def test_failure_in_cluster_then_it_tells_the_end_of_the_trace_and_leaks_have_their_site(
    pytester: pytest.Pytester,
) -> None:
    printed = ran(
        pytester,
        """
async def test_wrong(cluster):
    assert zc.nodes() == []

async def test_forgets(cluster):
    cluster.spawn("b", forever)
    await asyncio.sleep(0.1)
""",
        failed=2,
    )
    assert "replay:" in printed and "node_up" in printed
    assert "<b@10.0.0.2:7100" in printed and "forever, started in test_forgets at " in printed


def test_plain_test_with_node_then_leaks_fail_it_at_its_end(pytester: pytest.Pytester) -> None:
    printed = ran(
        pytester,
        """
def test_plain(node):
    node.scheduler.context.copy().run(zc.spawn, forever)
""",
        passed=1,
        errors=1,
    )
    assert "left behind" in printed and "test_plain at " in printed


def test_tests_without_the_fixtures_are_left_alone(pytester: pytest.Pytester) -> None:
    ran(
        pytester,
        """
@pytest.fixture
def own():
    return 7

def test_plain(own):
    assert own == 7

class TestOwnNode:
    @pytest.fixture
    def node(self):
        return "another node"

    def test_x(self, node):
        assert node == "another node"
""",
        passed=2,
    )
    ran(pytester, "async def test_async_without_a_runner():\n    pass\n", failed=1)


def test_both_fixtures_then_usage_error(pytester: pytest.Pytester) -> None:
    printed = ran(pytester, "async def test_x(node, cluster):\n    pass\n", errors=1)
    assert "take one of the fixtures" in printed
