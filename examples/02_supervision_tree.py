"""A supervision tree: what crashes is started again, with what depends on it, and the rest never notices.

    Finance (one_for_one)
      ├── Books (rest_for_one)
      │     ├── Ledger      keeps the totals
      │     └── Receipts    counts on the ledger: it is started again when the ledger is
      └── Audit

python examples/02_supervision_tree.py        (the crash report goes to the log, on stderr)
"""

import zmqcluster as zc


class Ledger(zc.GenServer):
    def init(self) -> None:
        self.total = 0
        print("ledger starts")

    @zc.call
    def add(self, amount: int) -> int:
        if amount > 1_000_000:
            raise RuntimeError("the ledger has a bug")
        self.total += amount
        return self.total


class Receipts(zc.GenServer):
    def init(self) -> None:
        print("receipts start, ledger is there:", zc.whereis("ledger") is not None)


class Audit(zc.GenServer):
    def init(self) -> None:
        zc.trap_exits()  # so that terminate runs when the tree is stopped
        print("audit starts")

    def terminate(self, reason: object) -> None:
        print("audit ends:", reason)


class Books(zc.Supervisor):
    strategy = "rest_for_one"
    children = [zc.ChildSpec("ledger", Ledger, name="ledger"), Receipts]


class Finance(zc.Supervisor):
    children = [zc.ChildSpec("books", Books, name="books"), Audit]


async def main() -> None:
    finance = await Finance.start_link()
    ledger = Ledger.at("ledger")
    print("total:", await ledger.add(500))
    before = ledger.pid
    try:
        await ledger.add(2_000_000)
    except zc.ServerExited as ended:
        print("the caller is told:", ended.reason)

    books = Books.at("books")
    print("restarted:", [child.id for child in await books.which_children()])  # it answers when that is done
    print("another process:", ledger.pid != before, "with a fresh total:", await ledger.add(1))
    print("children:", [(child.id, child.state) for child in await finance.which_children()])
    await zc.stop(finance.pid, zc.Shutdown())


if __name__ == "__main__":
    zc.run(main)

# Output:
# ledger starts
# receipts start, ledger is there: True
# audit starts
# total: 500
# the caller is told: Crashed(kind='RuntimeError', text='the ledger has a bug')
# ledger starts
# receipts start, ledger is there: True
# restarted: ['ledger', 'Receipts']
# another process: True with a fresh total: 1
# children: [('books', 'running'), ('Audit', 'running')]
# audit ends: Shutdown(detail=None)
