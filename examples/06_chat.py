"""A chat room on three nodes: what is said comes to everybody, who is there is known on all, moderators are a group.

    each node     Supervisor
                   ├── PubSub "chat"              carries what is said, and who comes and goes
                   ├── Presence "online"          who is in which room, with which devices
                   ├── Groups "staff"             the moderators, wherever they are
                   └── DynamicSupervisor "users"  a process for each device of a user

python examples/06_chat.py         the nodes run in this process here, on the network of the test kit, and one is killed
"""

from dataclasses import dataclass

import zmqcluster as zc
from zmqcluster.testing import Simulation

CHAT = zc.PubSub("chat")
ONLINE = zc.Presence("online", pubsub=CHAT)
STAFF = zc.Groups("staff")
ROOM = "room:7"


@zc.message
@dataclass(frozen=True)
class Said:
    """A line in a room."""

    who: str
    text: str


class Node(zc.Supervisor):
    """What every node runs."""

    children = [CHAT, ONLINE, STAFF, zc.ChildSpec("users", zc.DynamicSupervisor, name="users")]
    strategy = "rest_for_one"


class User(zc.GenServer):
    """One device of one user; what comes there is shown if it has a screen."""

    def init(self, name: str, device: str, *, is_moderator: bool = False, has_screen: bool = False) -> None:
        self.name, self.has_screen = name, has_screen
        CHAT.subscribe(ROOM)
        ONLINE.track(ROOM, name, device)
        if is_moderator:
            STAFF.join("moderators")

    @zc.cast
    def say(self, text: str) -> None:
        CHAT.broadcast_from(ROOM, Said(self.name, text))

    @zc.cast
    def complain(self, text: str) -> None:
        self.show(f"(moderators told: {STAFF.broadcast('moderators', Said(self.name, text))})")

    def handle_info(self, message: object) -> None:
        match message:
            case Said(who, text):
                self.show(f"{who}: {text}")
            case zc.PresenceDiff(_, joins, leaves):
                for mark, change in (("+", joins), ("-", leaves)):
                    for name, entries in change.items():
                        self.show(f"{mark} {name} ({', '.join(entry.meta for entry in entries)})")

    def show(self, line: str) -> None:
        if self.has_screen:
            print(f"{self.name}'s screen | {line}")


async def node() -> None:
    await Node.start_link()
    await zc.receive("never")


async def enter(name: str, device: str, **options: bool) -> User:
    """Start the process of a device, on the node where it has connected."""
    spec = zc.ChildSpec("user", User, (name, device), options, restart="temporary")
    pid = await zc.DynamicSupervisor.at("users").start_child(spec)
    assert pid is not None  # no init here returns Ignore
    return User.at(pid)


with Simulation(seed=7, nodes=3) as cluster:
    for place in cluster.names:
        cluster.start(place, node)
    cluster.run_ms(1_000)

    ada = cluster.run_on("a", lambda: enter("ada", "phone", has_screen=True))
    bob = cluster.run_on("b", lambda: enter("bob", "desk", is_moderator=True))
    cluster.run_ms(1_000)
    cluster.run_on("c", lambda: enter("bob", "tablet"))
    cluster.run_ms(1_000)
    cluster.at("b", lambda: bob.say("hello"))
    cluster.run_ms(1_000)
    cluster.at("a", lambda: ada.complain("bob said hello"))
    cluster.run_ms(1_000)

    print("kill -9 of node b")
    cluster.crash("b")
    cluster.run_ms(1_000)
    present = cluster.at("a", lambda: ONLINE.list(ROOM))
    print("in the room:", {name: [entry.meta for entry in entries] for name, entries in present.items()})
    cluster.at("a", lambda: ada.complain("bob has gone"))
    cluster.run_ms(1_000)

# Output:
# ada's screen | + ada (phone)
# ada's screen | + bob (desk)
# ada's screen | + bob (tablet)
# ada's screen | bob: hello
# ada's screen | (moderators told: 1)
# kill -9 of node b
# ada's screen | - bob (desk)
# in the room: {'ada': ['phone'], 'bob': ['tablet']}
# ada's screen | (moderators told: 0)
