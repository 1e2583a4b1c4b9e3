"""The cookies of a node: the first is used, all are accepted. So a secret is changed while the cluster runs.

    [old]  --add(new), on every node-->  [old, new]  --use(new), on every node-->  [new, old]  --remove(old)-->  [new]

Between two steps each node accepts what any other uses, so no connection fails for the lack of a key. Connections that
are up go on under the key they were made with: what they are encrypted with was drawn for them alone.

Invariants: never empty; no cookie twice; the primary, which is first, is never removed. All operations are idempotent.
Source: serf's keyring (install, use, remove); erlang:set_cookie/2 for the cookie of one node.
"""

from __future__ import annotations

from collections.abc import Callable

from zmqcluster.errors import ConfigError, UsageError
from zmqcluster.transport.curve import Key, derive

__all__ = ["Keyring"]

KEYS_MAX = 8  # a dial may have to try them all within the time of one set-up


class Keyring:
    """The cookies of a node, changed at any time; what changes holds for connections made from then on.

    Args:
        cookies: the primary first; at least one. Deriving the keys of a cookie takes 50 ms, once per process.
    Raises:
        ConfigError: there is none, one is empty, or there are more than 8.
    """

    def __init__(self, *cookies: str | bytes) -> None:
        if not cookies:
            raise ConfigError("a keyring has at least one cookie")
        self._keys = _limited(list(dict.fromkeys(derive(cookie) for cookie in cookies)))
        self._of_nodes: dict[str, Key] = {}
        self._watchers: list[Callable[[], None]] = []

    @property
    def primary(self) -> Key:
        """What this node listens with."""
        return self._keys[0]

    @property
    def keys(self) -> tuple[Key, ...]:
        """All that are accepted, the primary first."""
        return tuple(self._keys)

    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, the primary's first: to compare nodes with; nobody learns a cookie from them."""
        return tuple(key.id for key in self._keys)

    def add(self, cookie: str | bytes) -> str:
        """Accept ``cookie`` too, from now on; return its id.

        Raises:
            ConfigError: it is empty, or the ninth.
        """
        key = derive(cookie)
        if key not in self._keys:
            self._change(_limited([*self._keys, key]))
        return key.id

    def use(self, cookie: str | bytes) -> str:
        """Make ``cookie`` the primary; return its id.

        Raises:
            UsageError: it is not on the keyring: first every node is to accept it.
            ConfigError: this system cannot change the key of an open port (only Linux can); nothing was changed.
        """
        key = derive(cookie)
        if key not in self._keys:
            raise UsageError(f"the cookie {key.id} is not on the keyring: add it first, on every node")
        if key != self.primary:
            self._change([key, *(each for each in self._keys if each != key)])
        return key.id

    def remove(self, cookie: str | bytes) -> str:
        """Accept ``cookie`` no more for new connections; return its id. Those that are up go on.

        Raises:
            UsageError: it is the primary: use another first, on every node.
        """
        key = derive(cookie)
        if key == self.primary:
            raise UsageError(f"the cookie {key.id} is in use: first use another, on every node")
        if key in self._keys:
            self._change([each for each in self._keys if each != key])
        return key.id

    def set_cookie(self, node: str, cookie: str | bytes) -> None:
        """Dial ``node`` with ``cookie``, the one it listens with, in place of our own.

        Source: erlang:set_cookie/2; there one side needs to know the other's cookie, here each side does.
        """
        self._of_nodes[node] = derive(cookie)

    def keys_for(self, node: str) -> tuple[Key, ...]:
        """Return what to dial ``node`` with, in the order to try it in."""
        own = self._of_nodes.get(node)
        return (own,) if own else self.keys

    def find(self, mark: bytes) -> Key | None:
        """Return the accepted key that is spoken of as ``mark``."""
        return next((key for key in self._keys if key.mark == mark), None)

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call ``on_change`` after each change; where it raises, the change is undone. The result ends it."""
        self._watchers.append(on_change)
        return lambda: self._watchers.remove(on_change)

    def _change(self, keys: list[Key]) -> None:
        before, self._keys = self._keys, keys
        told = []
        try:
            for watcher in self._watchers:
                told.append(watcher)
                watcher()
        except BaseException:
            self._keys = before
            for watcher in told[:-1]:
                watcher()
            raise

    def __repr__(self) -> str:
        return f"<Keyring {' '.join(self.ids())}>"


def _limited(keys: list[Key]) -> list[Key]:
    if len(keys) > KEYS_MAX:
        raise ConfigError(f"a keyring has at most {KEYS_MAX} cookies: remove what is no longer used")
    return keys
