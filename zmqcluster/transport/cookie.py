"""Where the cookie of a node comes from: the program, the environment, or a file that only its owner can read.

    cookie="..."  >  $ZMQCLUSTER_COOKIE  >  the cookie file, if there is one  >  none: loopback only

The cookie file is $ZMQCLUSTER_COOKIE_FILE, else ~/.zmqcluster.cookie: one cookie per line, the first is used and all
are accepted. Copy it to the other machines. ``cookie=Path(...)`` names another, and makes it where it is missing.

Rule: a file that others may read is no secret, so it is refused rather than used. Source: ~/.erlang.cookie.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from zmqcluster.errors import CookieFileError
from zmqcluster.transport.keyring import Keyring

__all__ = ["Secret", "cookie_path", "find_keyring", "make_cookie_file", "read_cookie_file"]

Secret = str | bytes | Path | Keyring
VARIABLE = "ZMQCLUSTER_COOKIE"
FILE_VARIABLE = "ZMQCLUSTER_COOKIE_FILE"
FILE_NAME = ".zmqcluster.cookie"
FILE_BYTES_MAX = 4_096
RANDOM_BYTES = 24  # of a cookie made here: 32 letters
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def find_keyring(cookie: Secret | None) -> Keyring | None:
    """Return the keyring that ``cookie`` stands for; without one, that of the environment or of the cookie file.

    Returns:
        None: there is no cookie anywhere.
    Raises:
        ConfigError: a cookie is empty.
        CookieFileError: the file cannot be used; the message says why.
    """
    if isinstance(cookie, Keyring):
        return cookie
    if isinstance(cookie, Path):
        return Keyring(*read_cookie_file(make_cookie_file(cookie)))
    if cookie is not None:
        return Keyring(cookie)
    if VARIABLE in os.environ:
        return Keyring(os.environ[VARIABLE])
    path = cookie_path()
    if FILE_VARIABLE in os.environ or path.exists():
        return Keyring(*read_cookie_file(path))
    return None


def cookie_path() -> Path:
    """Return where the cookie file of this user is, or would be."""
    named = os.environ.get(FILE_VARIABLE)
    return Path(named) if named else Path("~").expanduser() / FILE_NAME


def read_cookie_file(path: Path) -> list[str]:
    """Return the cookies in a file, the one to use first.

    Raises:
        CookieFileError: it is not there, not a file of ours, holds no cookie, or others may read it.
    """
    path = path.expanduser()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hold us up
    except OSError as error:
        raise CookieFileError(str(path), error.strerror or str(error)) from error
    try:
        _check(path, os.fstat(fd))
        content = os.read(fd, FILE_BYTES_MAX + 1)
    finally:
        os.close(fd)
    return _cookies(path, content)


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise CookieFileError(str(path), "it is not a file")
    if found.st_uid not in (os.geteuid(), 0):
        raise CookieFileError(str(path), f"it belongs to user {found.st_uid}, not to us")
    if found.st_mode & OTHERS:
        raise CookieFileError(str(path), f"others may use it, its mode is {stat.S_IMODE(found.st_mode):04o}: chmod 600")


def _cookies(path: Path, content: bytes) -> list[str]:
    if len(content) > FILE_BYTES_MAX:
        raise CookieFileError(str(path), f"it is longer than {FILE_BYTES_MAX} bytes")
    try:
        cookies = [line.strip() for line in content.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise CookieFileError(str(path), "it is not text") from None
    if not cookies:
        raise CookieFileError(str(path), "it is empty")
    return cookies


def make_cookie_file(path: Path | None = None) -> Path:
    """Return the path of a cookie file, made with a random cookie and mode 0600 where there is none.

    Of several processes that make it at once, all read the same cookie.

    Args:
        path: by default ``cookie_path()``.
    Raises:
        CookieFileError: it cannot be made.
    """
    path = (path or cookie_path()).expanduser()
    if path.exists():
        return path
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, f"{secrets.token_urlsafe(RANDOM_BYTES)}\n".encode())
        finally:
            os.close(fd)
        with contextlib.suppress(FileExistsError):  # another was faster
            os.link(draft, path)
    except OSError as error:
        raise CookieFileError(str(path), f"it cannot be made: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return path

