"""What mypy knows of typed calls and casts. A line with ``# E: text`` is an error there, and no other line is.

Not run: ``test_typing.py`` gives it to mypy --strict.
"""

from __future__ import annotations

from typing import Any, assert_type

import zmqcluster as zc


class Account(zc.GenServer):
    """A server with every kind of typed method."""

    def init(self, balance: int) -> None:
        self.balance = balance

    @zc.call
    def deposit(self, amount: int, *, note: str = "") -> int:
        self.balance += amount
        return self.balance

    @zc.call
    async def history(self, days: int) -> list[tuple[str, int]]:
        return [("today", self.balance)]

    @zc.call
    def close(self) -> None: ...

    @zc.cast
    def remark(self, text: str) -> None: ...

    @zc.cast
    async def notify(self, address: str, retries: int = 3) -> None: ...


class Till(zc.GenServer):
    """A server whose calls return controls; the reply type is what is left without them."""

    def init(self) -> None:
        self.waiting: dict[int, zc.Call] = {}

    @zc.call
    def order(self, number: int) -> str | zc.NoReply:
        self.waiting[number] = zc.caller()
        return zc.NoReply()

    @zc.call
    async def order_slowly(self, number: int) -> list[int] | zc.NoReply | zc.Stop:
        return zc.NoReply()

    @zc.call
    def close(self) -> int | zc.Stop:
        return zc.Stop(reply=1)

    @zc.call
    def forget(self) -> zc.Continue | None:
        return zc.Continue("later", reply=None)


async def controls(till: Till) -> None:
    assert_type(await till.order(1), str)
    assert_type(await till.order_slowly(1), list[int])
    assert_type(await till.close(), int)
    assert_type(await till.forget(), None)
    (await till.order(1)).timeout()  # E: "str" has no attribute "timeout"
    zc.NoReply(timeout_s="soon")  # E: Argument "timeout_s" to "NoReply" has incompatible type "str"


async def handles() -> None:
    account = await Account.start_link(100, name="account")
    assert_type(account, Account)
    assert_type(await Account.start(100), Account)
    assert_type(Account.at("account"), Account)
    assert_type(account.pid, zc.Pid)
    Account.at(7)  # E: Argument 1 to "at" of "GenServer" has incompatible type "int"


async def replies(account: Account) -> None:
    assert_type(await account.deposit(5), int)
    assert_type(await account.deposit(5, note="salary"), int)
    assert_type(await account.deposit.within(1.0)(5), int)
    assert_type(await account.history(7), list[tuple[str, int]])
    assert_type(await account.close(), None)
    (await account.deposit(5)).upper()  # E: "int" has no attribute "upper"
    wrong: str = await account.deposit(5)  # E: Incompatible types in assignment
    wrong.upper()
    account.deposit(5).upper()  # E: "Awaitable[int]" has no attribute "upper"


async def arguments(account: Account) -> None:
    await account.deposit("5")  # E: Argument 1 to "__call__" of "BoundCall" has incompatible type "str"; expected "int"
    await account.deposit()  # E: Missing positional argument "amount" in call to "__call__" of "BoundCall"
    await account.deposit(5, 6)  # E: Too many positional arguments for "__call__" of "BoundCall"
    await account.deposit(5, remark="x")  # E: Unexpected keyword argument "remark" for "__call__" of "BoundCall"
    await account.deposit.within("soon")(5)  # E: Argument 1 to "within" of "BoundCall" has incompatible type "str"
    await account.history("week")  # E: Argument 1 to "__call__" of "BoundCall" has incompatible type "str"
    await account.withdraw(5)  # E: "Account" has no attribute "withdraw"


def casts(account: Account) -> None:
    assert_type(account.remark("fine"), None)
    account.notify("a@example.org", retries=5)
    account.remark(7)  # E: Argument 1 to "__call__" of "BoundCast" has incompatible type "int"; expected "str"
    account.notify()  # E: Missing positional argument "address" in call to "__call__" of "BoundCast"


async def functions(account: Account, pid: zc.Pid) -> None:
    await zc.call(account, ("any", "request"))
    await zc.call(pid, None, timeout_s=None)
    await zc.call(("name", "a@host"), None)
    zc.cast("name", None)
    zc.cast(7, None)  # E: No overload variant of "cast" matches argument types "int", "None"
    zc.send(account, "any message")
    zc.send(7, "any message")  # E: Argument 1
    zc.send_after("1", pid, "x")  # E: Argument 1 to "send_after" has incompatible type "str"; expected "float"
    zc.link("name")  # E: Argument 1 to "link" has incompatible type "str"; expected "Pid"


async def supervision() -> None:
    tree = await zc.Supervisor.start_link([Account, (Account, 100), zc.ChildSpec("a", Account, (100,))])
    assert_type(tree, zc.Supervisor)
    assert_type(await tree.count_children(), dict[str, int])
    zc.ChildSpec("a", Account, restart="always")  # E: Argument "restart" to "ChildSpec" has incompatible type
    zc.ChildSpec("a", "Account")  # E: Argument 2 to "ChildSpec" has incompatible type "str"
    backoff = zc.Backoff(first_s=0.1, factor=2, max_s=30)
    await zc.Supervisor.start_link([Account], backoff=backoff)
    zc.Backoff(first_s="1")  # E: Argument "first_s" to "Backoff" has incompatible type "str"
    zc.monitor("name", alias="reply")  # E: Argument "alias" to "monitor" has incompatible type
    assert_type(zc.start_timer(1.0, "name", "tick"), zc.Ref)
    assert_type(await zc.sys.get_state("account"), dict[str, Any])
    await tree.terminate_child(7)  # E: Argument 1 to "__call__" of "BoundCall" has incompatible type "int"
