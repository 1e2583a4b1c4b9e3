"""Network namespaces: made and removed with iproute2, entered by a thread."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["add", "inside", "remove", "sh", "sweep", "tap", "why_not"]

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
TUN = "/dev/net/tun"

_libc = ctypes.CDLL(None, use_errno=True)


def sh(*words: str, text: str | None = None) -> str:
    """Run a command and return its output.

    Raises:
        RuntimeError: it failed; the message says how.
    """
    ran = subprocess.run(words, capture_output=True, text=True, input=text)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(words)}: {ran.stderr.strip() or ran.stdout.strip() or ran.returncode}")
    return ran.stdout


def why_not() -> str | None:
    """Return why there can be no lab here, for pytest.skip; None: there can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    if not os.path.exists(TUN):
        return f"{TUN} is missing"
    name = f"zcprobe{os.getpid()}"
    try:
        add(name)
        sh("ip", "netns", "exec", name, "mount", "-t", "tmpfs", "tmpfs", "/tmp")
        os.close(tap(name))
    except (RuntimeError, OSError) as problem:
        return str(problem)
    finally:
        remove(name)
    return None


def add(name: str) -> None:
    sh("ip", "netns", "add", name)


def remove(name: str) -> None:
    """Idempotent."""
    with contextlib.suppress(RuntimeError):
        sh("ip", "netns", "del", name)


def sweep(pattern: str) -> None:
    """Remove the namespaces of processes that are gone: ``pattern`` finds the pid in a name."""
    for line in sh("ip", "netns", "list").splitlines():
        name = line.split()[0]
        if (found := re.fullmatch(pattern, name)) and not Path("/proc", found[1]).exists():
            remove(name)


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Run this thread in the namespace; sockets and devices that are opened there stay there."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(Path("/run/netns", name), os.O_RDONLY)
    try:
        _enter(there)
        yield
    finally:
        _enter(here)
        os.close(here)
        os.close(there)


def _enter(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def tap(name: str) -> int:
    """Make the device eth0 in the namespace; return the switch's end of its cable."""
    with inside(name):
        fd = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TAP | IFF_NO_PI))
    return fd
