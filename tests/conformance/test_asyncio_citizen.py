"""What asyncio and its libraries offer works inside a process, and while it waits the others run.

Real loops here: there are sockets, threads and child processes to wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator

import aiohttp
import aiohttp.web
import anyio
import anyio.to_thread
import pytest

import zmqcluster as zc
from tests.support.running import forever, run_real


class Echo(zc.GenServer):
    """Answers while another process waits in asyncio."""

    def init(self) -> None: ...

    def handle_call(self, request: str, caller: zc.Call) -> str:
        return request


def test_timeout_then_the_process_gets_timeout_error_and_goes_on() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await zc.receive()
        zc.send(zc.self(), "after")
        async with asyncio.timeout(10):
            assert await zc.receive() == "after"
        echo = await Echo.start()
        async with asyncio.timeout(10):
            assert await zc.call(echo, "in time") == "in time"

    run_real(main)


def test_timeout_around_a_call_then_the_late_reply_vanishes() -> None:
    class Slow(zc.GenServer):
        def init(self) -> None: ...

        async def handle_call(self, request: str, caller: zc.Call) -> str:
            await asyncio.sleep(0.02)
            return request

    async def main() -> None:
        slow = await Slow.start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await zc.call(slow, "late")
        assert await zc.call(slow, "next") == "next"
        with pytest.raises(TimeoutError):
            await zc.receive(timeout_s=0)

    run_real(main)


def test_task_group_then_its_tasks_run_and_a_failure_cancels_the_others() -> None:
    cancelled: list[str] = []

    async def fails() -> None:
        raise ValueError("boom")

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("waits")
            raise

    async def main() -> None:
        echo = await Echo.start()
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(ask(echo, str(number))) for number in range(3)]
        assert [call.result() for call in calls] == ["0", "1", "2"]
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(waits())
                await asyncio.sleep(0)
                group.create_task(fails())
                await zc.receive()
        assert [type(error) for error in caught.value.exceptions] == [ValueError]
        zc.send(zc.self(), "alive")
        assert await zc.receive() == "alive"

    async def ask(echo: Echo, request: str) -> str:
        reply: str = await zc.call(echo, request)
        return reply

    run_real(main)
    assert cancelled == ["waits"]


def test_to_thread_then_the_function_runs_in_a_thread_while_other_processes_run() -> None:
    release = threading.Event()

    def blocks() -> int:
        assert release.wait(10)
        return threading.get_ident()

    async def releases() -> None:
        release.set()

    async def main() -> None:
        zc.spawn(releases)  # does not run before this process waits
        assert await asyncio.to_thread(blocks) != threading.get_ident()

    run_real(main)


def test_subprocess_then_its_output_and_exit_code_arrive() -> None:
    async def main() -> None:
        program = "import sys; print(sys.stdin.read().upper(), end=''); sys.exit(3)"
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdin=pipe, stdout=pipe)
        output, _ = await child.communicate(b"hello")
        assert (output, child.returncode) == (b"HELLO", 3)

    run_real(main)


def test_gather_then_calls_and_coroutines_mix_and_the_first_failure_is_raised() -> None:
    async def later(value: str) -> str:
        await asyncio.sleep(0.001)
        return value

    async def fails() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        echo = await Echo.start()
        assert list(await asyncio.gather(later("a"), zc.call(echo, "b"), later("c"))) == ["a", "b", "c"]
        with pytest.raises(ZeroDivisionError):
            await asyncio.gather(later("a"), zc.call(echo, "b"), fails())

    run_real(main)


def test_shield_then_what_is_shielded_goes_on_after_a_timeout() -> None:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.append("work")

    async def main() -> None:
        working = asyncio.ensure_future(work())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.shield(working)
        await working
        echo = await Echo.start()
        assert await asyncio.shield(zc.call(echo, "shielded")) == "shielded"

    run_real(main)
    assert done == ["work"]


def test_wait_for_wait_and_as_completed_then_they_take_calls_and_tasks() -> None:
    async def main() -> None:
        echo = await Echo.start()
        assert await asyncio.wait_for(zc.call(echo, "x"), 10) == "x"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        tasks = [asyncio.ensure_future(asyncio.sleep(seconds, seconds)) for seconds in (0.02, 0.001)]
        assert [await each for each in asyncio.as_completed(tasks)] == [0.001, 0.02]
        done, pending = await asyncio.wait(tasks)
        assert (len(done), len(pending)) == (2, 0)

    run_real(main)


def test_queue_lock_event_and_condition_then_they_work_between_processes() -> None:
    async def produces(queue: asyncio.Queue[int], lock: asyncio.Lock) -> None:
        for number in range(100):
            async with lock:
                await queue.put(number)

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=3)
        lock = asyncio.Lock()
        zc.spawn_link(produces, queue, lock)
        assert [await queue.get() for _ in range(100)] == list(range(100))

    run_real(main)


def test_anyio_move_on_after_and_fail_after_then_they_end_a_receive() -> None:
    async def main() -> None:
        with anyio.move_on_after(0.01) as scope:
            await zc.receive()
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.01):
                await zc.receive()
        zc.send(zc.self(), "after")
        assert await zc.receive() == "after"

    run_real(main)


def test_anyio_task_group_then_its_tasks_run_and_its_scope_cancels_them() -> None:
    seen: list[str] = []

    async def note(value: str) -> None:
        await anyio.sleep(0.001)
        seen.append(value)

    async def fails() -> None:
        raise ValueError

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(note, "a")
            group.start_soon(note, "b")
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            group.cancel_scope.cancel()
        with pytest.raises(ExceptionGroup):
            async with anyio.create_task_group() as group:
                group.start_soon(fails)
                await zc.receive()

    run_real(main)
    assert sorted(seen) == ["a", "b"]


def test_anyio_to_thread_then_the_function_runs_in_a_thread() -> None:
    async def main() -> None:
        assert await anyio.to_thread.run_sync(threading.get_ident) != threading.get_ident()

    run_real(main)


async def answer(request: aiohttp.web.Request) -> aiohttp.web.Response:
    """Ask a server by its name, and answer with its reply."""
    reply: str = await zc.call("echo", request.query["text"])
    return aiohttp.web.Response(text=reply)


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[str]:
    """An aiohttp server on loopback, and its address."""
    application = aiohttp.web.Application()
    application.router.add_get("/", answer)
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def test_aiohttp_client_and_server_in_processes_then_handlers_reach_servers() -> None:
    async def serves(owner: zc.Pid) -> None:
        async with site() as address:
            zc.send(owner, address)
            await forever()

    async def main() -> None:
        await Echo.start(name="echo")
        server, ref = zc.spawn_monitor(serves, zc.self())
        address = await zc.receive(str)
        async with aiohttp.ClientSession() as session:
            texts = await asyncio.gather(*(fetch(session, address, f"text {number}") for number in range(10)))
        assert texts == [f"text {number}" for number in range(10)]
        zc.exit(server, zc.Shutdown())
        assert (await zc.receive(zc.Down)).ref == ref

    async def fetch(session: aiohttp.ClientSession, address: str, text: str) -> str:
        async with session.get(address, params={"text": text}) as response:
            assert response.status == 200
            return await response.text()

    run_real(main)


def test_streams_then_a_process_serves_and_another_connects() -> None:
    async def main() -> None:
        async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.readline()).upper())
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(upper, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            assert await reader.readline() == b"HELLO\n"
            writer.close()
            await writer.wait_closed()

    run_real(main)
