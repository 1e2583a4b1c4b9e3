"""The run directory: where the nodes of one user on one host have their ipc sockets.

    $ZMQCLUSTER_RUN_DIR, else $XDG_RUNTIME_DIR/zmqcluster, else /tmp/zmqcluster-<uid>      mode 0700, ours
      4c1f…9a.lock           held by the process that runs the node; 8 bytes for its ``pulse``, then its number and
                             where the node listens
      4c1f…9a.ipc            its links           4c1f…9a is a hash of the node's full name: a path has 100 bytes at most
      4c1f…9a-gossip.ipc     its gossip

Invariant: at most one process of this host holds a node's name. libzmq removes a socket file it finds in its way, so
without the lock a second node of the same name would take the first one's place silently.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from zmqcluster.errors import ConfigError, NameInUse
from zmqcluster.ids import NodeName
from zmqcluster.transport.addresses import IPC_PATH_BYTES_MAX

__all__ = [
    "GOSSIP_SUFFIX",
    "LINKS_SUFFIX",
    "LOCK_SUFFIX",
    "NameLock",
    "has_cookie",
    "local_endpoint",
    "nearest",
    "run_directory",
    "socket_path",
]

LINKS_SUFFIX, GOSSIP_SUFFIX, LOCK_SUFFIX = ".ipc", "-gossip.ipc", ".lock"
LOOPBACK_NAMES = ("localhost", "::1")
NOTE_BYTES_MIN, NOTE_BYTES_MAX = 8, 1_000  # where the note begins and ends in a lock file


def run_directory(explicit: Path | None = None) -> Path:
    """Return the run directory, made if it is not there.

    Raises:
        ConfigError: it cannot be made, is not a directory, or others own it or may write to it.
    """
    path = explicit or _default_directory()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise ConfigError(f"run directory {path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"run directory {path} is not a directory")
    if found.st_uid != os.getuid():
        raise ConfigError(f"run directory {path} belongs to user {found.st_uid}, not to us; set ZMQCLUSTER_RUN_DIR")
    if found.st_mode & 0o022:
        raise ConfigError(f"run directory {path} can be written by others: chmod 700 it")
    return path


def _default_directory() -> Path:
    named = os.environ.get("ZMQCLUSTER_RUN_DIR")
    if named:
        return Path(named)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "zmqcluster"
    return Path(tempfile.gettempdir()) / f"zmqcluster-{os.getuid()}"


def socket_path(run_dir: Path, node: str, suffix: str = LINKS_SUFFIX) -> Path:
    """Return the path of a node's socket; every process of the host computes the same.

    Raises:
        ConfigError: the run directory's own path is too long for a socket.
    """
    digest = hashlib.blake2b(node.encode(), digest_size=12).hexdigest()
    path = run_dir.absolute() / f"{digest}{suffix}"
    if len(os.fsencode(path)) > IPC_PATH_BYTES_MAX:
        raise ConfigError(f"run directory {run_dir}: its path is too long for sockets, set ZMQCLUSTER_RUN_DIR")
    return path


def local_endpoint(node: NodeName, run_dir: Path, own_host: str = "") -> str | None:
    """Return the ipc endpoint of a node of this host, or None where it has no socket here.

    Args:
        node: whom to reach; of this host when its host is a loopback name or ``own_host``.
    """
    if not (node.host in LOOPBACK_NAMES or node.host.startswith("127.") or node.host == own_host):
        return None
    path = socket_path(run_dir, node)
    return f"ipc://{path}" if path.exists() else None


def nearest(endpoints: tuple[str, ...]) -> str | None:
    """Return the first endpoint that this host can use: an ipc one whose socket is here, or any other."""
    for endpoint in endpoints:
        if not endpoint.startswith("ipc://") or os.path.exists(endpoint.removeprefix("ipc://")):
            return endpoint
    return None


def has_cookie(run_dir: Path, node: str) -> bool:
    """Whether a node of this host asks for a cookie, as far as is known."""
    return _note(socket_path(run_dir, node, LOCK_SUFFIX))[1] != "open"


def _note(path: Path) -> tuple[str, str, str]:
    """What the holder of a lock says: its process, ``open`` or ``cookie``, and where it listens."""
    try:
        said = path.read_bytes()[NOTE_BYTES_MIN : NOTE_BYTES_MIN + NOTE_BYTES_MAX].decode()
    except (OSError, UnicodeDecodeError):
        said = ""
    pid, _, rest = said.partition(" ")
    manner, _, address = rest.partition(" ")
    return pid, manner, address


class NameLock:
    """Holds a node's name against other processes of this host; the kernel frees it when the process ends."""

    def __init__(self, run_dir: Path, node: str) -> None:
        self._node = node
        self._path = socket_path(run_dir, node, LOCK_SUFFIX)
        self._fd = -1

    def acquire(self) -> None:
        """Take the name.

        Raises:
            NameInUse: another node of this name runs on this host.
        """
        while self._fd < 0:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(fd)
                raise NameInUse(self._node, self._holder()) from error
            if self._is_current(fd):
                self._fd = fd
                self.note("")
            else:  # its holder removed the file between our open and our lock: lock the new one
                os.close(fd)

    def _is_current(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self._path))
        except FileNotFoundError:
            return False

    def note(self, address: str, *, has_cookie: bool = True) -> None:
        """Say where the node listens, for whoever wants the name too, and whether it asks for a cookie."""
        said = f"{os.getpid()} {'cookie' if has_cookie else 'open'} {address}"
        os.ftruncate(self._fd, NOTE_BYTES_MIN)
        os.pwrite(self._fd, said.encode()[:NOTE_BYTES_MAX], NOTE_BYTES_MIN)

    def _holder(self) -> str:
        pid, _, address = _note(self._path)
        where = f" at {address}" if address else ""
        return f"{f'process {pid}' if pid else 'a process'} of this host runs it{where}, and holds {self._path}"

    def release(self) -> None:
        """Give the name up. Idempotent."""
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            os.close(self._fd)
            self._fd = -1
