"""Where in a message the value is that cannot be sent: ``message['items'][3].callback``.

The codecs do not keep track of paths, since nearly all messages can be sent. After a failure this walks down again:
the first child that fails by itself is on the path, and a value that fails while none of its children does is its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from enum import Enum

from zmqcluster._messages import SHAPES

__all__ = ["describe", "path_to_problem"]

ROOT = "message"
STEPS_MAX = 16  # a message that contains itself has a path without end
REPR_CHARS_MAX = 60


def path_to_problem(value: object, depth: int, fails: Callable[[object, int], bool]) -> str:
    """Return the path from ``value`` to the part of it that cannot be sent.

    Args:
        value: what could not be sent.
        depth: at which nesting it stood.
        fails: tells whether a value at a depth cannot be sent by itself.
    """
    path = ROOT
    for _ in range(STEPS_MAX):
        failing = next((part for part in _parts(value) if fails(part[1], depth + 1)), None)
        if failing is None:
            return path
        step, value, is_key = failing
        if is_key:
            return f"the key {_shown(value)} of {path}"
        path, depth = path + step, depth + 1
    return path + "…"


def describe(value: object) -> str:
    """Return why a value of this type cannot be sent, and what to do."""
    cls = type(value)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    if isinstance(value, Enum) or is_dataclass(value):
        return f"{name} is not registered: decorate the class with @message"
    return f"a value of type {name} cannot cross a link"


def _parts(value: object) -> Iterator[tuple[str, object, bool]]:
    """The parts of ``value`` in the order of writing: step, part, and whether it is the key of a dict.

    Parts are copied first: what runs while one is tried, a tzinfo, may change the value.
    """
    cls = type(value)
    shape = SHAPES.get(cls)
    if shape is not None:
        for name in shape.names or ():
            if hasattr(value, name):
                yield f".{name}", getattr(value, name), False
    elif isinstance(value, dict) and cls is dict:
        for key, part in list(value.items()):
            yield "", key, True
            yield f"[{_shown(key)}]", part, False
    elif isinstance(value, list | tuple) and cls in (list, tuple):
        for index, part in enumerate(list(value)):
            yield f"[{index}]", part, False
    elif isinstance(value, set | frozenset) and cls in (set, frozenset):
        for part in list(value):
            yield f"{{{_shown(part)}}}", part, False


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__qualname__}>"
    return text if len(text) <= REPR_CHARS_MAX else text[: REPR_CHARS_MAX - 1] + "…"
