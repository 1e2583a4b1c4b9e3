"""GenServer beyond the conformance cases: handles, both forms of handlers, refusals, inheritance."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, end_of, forever, run
from zmqcluster.otp.gen_server import resolve_server, server_name

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Account(zc.GenServer):
    """A balance with both forms of handlers."""

    def init(self, balance: int = 0, *, owner: str = "nobody") -> None:
        self.balance = balance
        self.owner = owner
        self.notes: list[Any] = []

    @zc.call
    def deposit(self, amount: int, *, note: str = "") -> int:
        if amount < 0:
            raise zc.Refusal(ValueError(f"cannot deposit {amount}"))
        self.balance += amount
        return self.balance

    @zc.call
    async def deposit_slowly(self, amount: int) -> int:
        balance = self.balance
        await asyncio.sleep(0.01)
        self.balance = balance + amount
        return self.balance

    @zc.cast
    def note(self, *notes: Any, **named: Any) -> None:
        self.notes += [*notes, *named.items()]

    @zc.call
    def read_notes(self) -> list[Any]:
        return self.notes

    @zc.call
    def fail(self) -> None:
        raise ZeroDivisionError("broken")

    @zc.cast
    async def leave(self, reason: Any) -> zc.Stop:
        return zc.Stop(reason)


# --- starting and handles


def test_start_then_the_handle_knows_where_its_server_is() -> None:
    async def main() -> None:
        account = await Account.start(5, owner="ann", name="account")
        assert isinstance(account, Account)
        assert account.pid == zc.whereis("account")
        assert repr(account) == f"<Account at {account.pid!r}>"
        by_name = Account.at("account")
        assert await by_name.deposit(1) == 6
        assert by_name.pid == account.pid
        assert Account.at(account).pid == account.pid

    run(main)


def test_handle_to_nobody_then_that_shows_when_it_is_used() -> None:
    async def main() -> None:
        account = Account.at("nobody")
        assert account.whereis() is None
        with pytest.raises(zc.NotRegistered):
            _ = account.pid
        with pytest.raises(zc.NoProcessError):
            await account.deposit(1)
        account.note("dropped")
        with pytest.raises(zc.UsageError, match="known on its node only"):
            _ = Account.at(("account", "b@10.0.0.7")).pid

    run(main)


def test_start_when_init_takes_other_arguments_then_it_fails_with_the_type_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Plain(zc.GenServer):
        pass

    async def main() -> None:
        for start in (Account.start(1, 2, 3), Account.start(color="red"), Plain.start(1)):
            with pytest.raises(zc.StartFailed) as caught:
                await start
            assert caught.value.reason.kind == "TypeError"

    run(main)
    assert len(caplog.records) == 3


def test_state_when_its_own_typed_method_is_called_then_it_says_how_to_call_the_plain_one() -> None:
    class Doubles(Account):
        @zc.call
        def twice(self, amount: int) -> int:
            with pytest.raises(zc.UsageError, match=r"\.function\(self"):
                self.deposit(amount)
            Account.deposit.function(self, amount)
            balance: int = Account.deposit.function(self, amount)
            return balance

    async def main() -> None:
        assert await (await Doubles.start()).twice(5) == 10

    run(main)


def test_two_servers_of_a_class_then_each_has_its_own_state() -> None:
    async def main() -> None:
        one, other = await Account.start(1), await Account.start(10)
        assert [await one.deposit(1), await other.deposit(1)] == [2, 11]

    run(main)


# --- typed methods


def test_typed_call_when_keywords_are_given_then_they_arrive() -> None:
    async def main() -> None:
        account = await Account.start()
        assert await account.deposit(amount=3, note="x") == 3
        account.note(1, 2, key="value")
        assert await account.read_notes() == [1, 2, ("key", "value")]

    run(main)


def test_typed_call_within_another_time_then_it_times_out_then() -> None:
    async def main() -> None:
        account = await Account.start()
        with pytest.raises(zc.CallTimeout) as caught:
            await account.deposit_slowly.within(0.005)(1)
        assert caught.value.timeout_s == 0.005
        assert await account.deposit_slowly.within(None)(1) == 2

    run(main)


def test_method_that_the_server_lacks_then_the_caller_is_told_and_the_server_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Newer(Account):
        @zc.call
        def close(self) -> None: ...

        @zc.cast
        def freeze(self) -> None: ...

    async def main() -> None:
        account = await Account.start()
        newer = Newer.at(account)
        with pytest.raises(zc.NoSuchMethod) as caught:
            await newer.close()
        assert (caught.value.server, caught.value.method) == ("Account", "close")
        newer.freeze()
        assert await account.deposit(1) == 1

    run(main)
    (record,) = caplog.records
    assert "freeze" in record.getMessage()


def test_arguments_that_do_not_fit_then_the_server_crashes_as_from_any_exception(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        account = await Account.start()
        with pytest.raises(zc.ServerExited) as caught:
            await account.deposit()  # type: ignore[call-arg]
        assert caught.value.reason.kind == "TypeError"

    run(main)
    assert len(caplog.records) == 1


def test_subclass_then_it_inherits_and_overrides_typed_methods() -> None:
    class Savings(Account):
        @zc.call
        def deposit(self, amount: int, *, note: str = "") -> int:
            self.balance += 2 * amount
            return self.balance

    class Closed(Account):
        note = None  # type: ignore[assignment]

    async def main() -> None:
        savings = await Savings.start()
        assert await savings.deposit(5) == 10
        assert await savings.deposit_slowly(1) == 11
        assert await Account.at(savings).deposit(5) == 21
        closed = await Closed.start()
        Account.at(closed).note("dropped")
        assert await closed.read_notes() == []

    run(main)


# --- handlers


def test_refusal_then_the_caller_gets_the_error_and_the_server_goes_on() -> None:
    async def main() -> None:
        account = await Account.start()
        with pytest.raises(ValueError, match="cannot deposit -1"):
            await account.deposit(-1)
        assert await account.deposit(1) == 1

    run(main)


def test_handler_that_raises_then_every_caller_that_waits_is_told_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        account = await Account.start()
        calls = [
            asyncio.ensure_future(each) for each in (account.deposit_slowly(1), account.fail(), account.deposit(1))
        ]
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert done[0] == 1
        assert [error.reason.kind for error in done[1:] if isinstance(error, zc.ServerExited)] == [
            "ZeroDivisionError",
            "ZeroDivisionError",
        ]

    run(main)
    assert len(caplog.records) == 1


def test_async_handler_then_no_other_message_is_handled_meanwhile() -> None:
    async def main() -> None:
        account = await Account.start()
        balances = await asyncio.gather(*(account.deposit_slowly(1) for _ in range(5)))
        assert balances == [1, 2, 3, 4, 5]

    run(main)


def test_async_handler_of_a_server_that_is_killed_then_its_caller_is_told() -> None:
    async def main() -> None:
        account = await Account.start()
        waiting = asyncio.ensure_future(account.deposit_slowly(1))
        await arriving(0.001)
        zc.exit(account.pid, zc.Kill())
        with pytest.raises(zc.ServerExited) as caught:
            await waiting
        assert caught.value.reason == zc.Killed()

    run(main)


def test_async_handlers_then_a_server_has_context_variables_of_its_own() -> None:
    class Sets(zc.GenServer):
        def init(self) -> None: ...

        @zc.call
        async def swap(self, value: str) -> str:
            old = VARIABLE.get()
            VARIABLE.set(value)
            return old

    async def main() -> None:
        VARIABLE.set("the starter's")
        one, other = await Sets.start(), await Sets.start()
        first = [await one.swap("a"), await one.swap("b"), await other.swap("c")]
        assert first == ["unset", "a", "unset"]
        assert VARIABLE.get() == "the starter's"

    run(main)


def test_exit_in_a_handler_then_the_server_terminates_with_exactly_that_reason() -> None:
    told: list[Any] = []

    class Exits(zc.GenServer):
        def init(self) -> None: ...

        def handle_cast(self, request: Any) -> None:
            zc.exit(request)

        def terminate(self, reason: Any) -> None:
            told.append(reason)

    async def main() -> None:
        server = await Exits.start()
        zc.cast(server, zc.Shutdown("enough"))
        assert await end_of(server.pid) == zc.Shutdown("enough")

    run(main)
    assert told == [zc.Shutdown("enough")]


def test_continue_with_a_reply_then_the_caller_does_not_wait_for_what_follows() -> None:
    class Works(zc.GenServer):
        def init(self, owner: zc.Pid) -> None:
            self.owner = owner

        def handle_call(self, request: Any, caller: zc.Call) -> zc.Continue:
            return zc.Continue(request, reply="accepted")

        async def handle_continue(self, value: Any) -> None:
            await asyncio.sleep(1)
            zc.send(self.owner, value)

    async def main() -> None:
        server = await Works.start(zc.self())
        assert await zc.call(server, "job") == "accepted"
        assert await arriving(0.5) == []
        assert await arriving(1) == ["job"]

    run(main)


def test_continue_that_is_not_handled_then_the_server_crashes(caplog: pytest.LogCaptureFixture) -> None:
    class Forgets(zc.GenServer):
        def init(self) -> zc.Continue:
            return zc.Continue("x")

    async def main() -> None:
        server = await Forgets.start()
        assert "has no handle_continue" in (await end_of(server.pid)).text

    run(main)
    assert len(caplog.records) == 1


def test_call_that_is_never_replied_then_the_end_of_the_server_fails_it() -> None:
    class Silent(zc.GenServer):
        def init(self) -> None: ...

        def handle_call(self, request: Any, caller: zc.Call) -> zc.NoReply:
            return zc.NoReply()

    async def main() -> None:
        server = await Silent.start()
        calls = [asyncio.ensure_future(zc.call(server, number)) for number in range(3)]
        await arriving(0.01)
        await zc.stop(server)
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in errors] == [zc.ServerExited] * 3

    run(main)


def test_client_of_a_call_then_it_is_the_process_that_waits_until_it_gave_up() -> None:
    clients: list[Any] = []

    class Notes(zc.GenServer):
        def init(self) -> None: ...

        async def handle_call(self, request: Any, caller: zc.Call) -> None:
            clients.append(caller.client)
            await asyncio.sleep(0.1)
            clients.append(caller.client)

    async def main() -> None:
        server = await Notes.start()
        with pytest.raises(zc.CallTimeout):
            await zc.call(server, "x", timeout_s=0.05)
        await arriving(1)
        assert clients == [zc.self(), None]

    run(main)


def test_server_started_with_a_link_when_the_starter_is_killed_then_it_ends_too() -> None:
    async def parent(owner: zc.Pid) -> None:
        zc.send(owner, (await Account.start_link()).pid)
        await forever()

    async def main() -> None:
        starter = zc.spawn(parent, zc.self())
        pid = await zc.receive()
        zc.exit(starter, zc.Kill())
        assert await end_of(pid) == zc.Killed()

    run(main)


# --- names of classes


def test_server_name_then_the_class_is_found_by_it() -> None:
    assert server_name(Account) == f"{__name__}:Account"
    assert resolve_server(f"{__name__}:Account") is Account
    with pytest.raises(zc.ConfigError, match="import its module"):
        resolve_server("nowhere:Nothing")
