"""Which classes may cross a link: one table, tag to class and class to tag, for both codecs.

A tag means one class and a class has one tag for the life of the OS process, on every node the same. So a class keeps
its tag when it moves to another module only if the tag was given, not taken from ``module:qualname``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, overload

from zmqcluster import exits
from zmqcluster.errors import ConfigError

__all__ = ["Shape", "message", "register_message", "register_str"]

T = TypeVar("T")

TAG_BYTES_MAX = 255


@dataclass(frozen=True, slots=True)
class Shape:
    """How values of one class are written: ``[tag, *fields]``, or ``[tag, member name]`` for an enum (no ``names``)."""

    tag: str
    cls: type
    names: tuple[str, ...] | None
    by_name: bool  # the fields are not the leading positional parameters of the class

    def build(self, values: Sequence[object]) -> object:
        """Return ``cls`` called with the field values: whatever its ``__init__`` checks is checked here too."""
        if self.by_name and self.names is not None:
            return self.cls(**dict(zip(self.names, values, strict=True)))
        return self.cls(*values)

    def refusal(self, error: Exception) -> str:
        """Return why ``build`` failed, in words."""
        return f"{self.tag} refuses its fields: {type(error).__name__}"


SHAPES: dict[type, Shape] = {}
SHAPES_BY_TAG: dict[str, Shape] = {}
STR_TYPES: set[type] = set()


def register_message(cls: type[T], tag: str | None = None) -> type[T]:
    """Let values of ``cls``, a frozen dataclass or an enum, be sent; return ``cls``.

    Fields declared with ``compare=False`` are not sent: they have their defaults on arrival.

    Args:
        cls: exactly this class; subclasses are registered by themselves.
        tag: its name on the wire, by default ``module:qualname``.
    Raises:
        ConfigError: the class cannot be rebuilt from its fields, or the tag or the class is taken.
    """
    if not isinstance(cls, type):
        raise ConfigError(f"{cls!r} is no class")
    chosen = f"{cls.__module__}:{cls.__qualname__}" if tag is None else tag
    if not isinstance(chosen, str) or not 0 < len(chosen.encode(errors="replace")) <= TAG_BYTES_MAX:
        raise ConfigError(f"a tag has 1 to {TAG_BYTES_MAX} bytes, not {chosen!r}")
    shape = _shape(cls, chosen)
    if SHAPES_BY_TAG.get(chosen, shape) != shape:
        raise ConfigError(f"the tag {chosen!r} is taken by {SHAPES_BY_TAG[chosen].cls!r}")
    if SHAPES.get(cls, shape) != shape:
        raise ConfigError(f"{cls!r} is registered already, as {SHAPES[cls].tag!r}")
    SHAPES[cls] = SHAPES_BY_TAG[chosen] = shape
    return cls


@overload
def message(cls: type[T], *, tag: str | None = None) -> type[T]: ...
@overload
def message(*, tag: str | None = None) -> Callable[[type[T]], type[T]]: ...
def message(cls: type[T] | None = None, *, tag: str | None = None) -> type[T] | Callable[[type[T]], type[T]]:
    """Decorate a frozen dataclass or an enum so that its values can be sent: see ``register_message``."""
    if cls is not None:
        return register_message(cls, tag)
    return lambda decorated: register_message(decorated, tag)


def register_str(cls: type[str]) -> None:
    """Let values of a str subclass be sent; they arrive as plain str.

    Raises:
        ConfigError: ``cls`` is no subclass of str.
    """
    if not (isinstance(cls, type) and issubclass(cls, str)):
        raise ConfigError(f"{cls!r} is no subclass of str")
    STR_TYPES.add(cls)


def _shape(cls: type, tag: str) -> Shape:
    if issubclass(cls, Enum):
        return Shape(tag, cls, None, False)
    if not (is_dataclass(cls) and _is_frozen(cls)):
        raise ConfigError(f"{cls!r} is neither a frozen dataclass nor an enum: only values can be sent")
    names = tuple(field.name for field in fields(cls) if field.compare)
    parameters = inspect.signature(cls).parameters
    for name in names:
        if name not in parameters:
            raise ConfigError(f"{cls!r} cannot be rebuilt: its __init__ does not take the field {name!r}")
    for name, parameter in parameters.items():
        if name not in names and parameter.default is parameter.empty:
            raise ConfigError(f"{cls!r} cannot be rebuilt: {name!r} is not sent and has no default")
    leading = list(parameters.values())[: len(names)]
    by_name = any(p.name != name or p.kind is p.KEYWORD_ONLY for p, name in zip(leading, names, strict=True))
    return Shape(tag, cls, names, by_name)


def _is_frozen(cls: type) -> bool:
    parameters: Any = getattr(cls, "__dataclass_params__", None)
    return bool(parameters.frozen)


for _reason in (
    exits.Normal,
    exits.Shutdown,
    exits.Kill,
    exits.Killed,
    exits.NoProcess,
    exits.NoConnection,
    exits.TimedOut,
    exits.NameConflict,
    exits.BadReturn,
    exits.Crashed,
):
    register_message(_reason, f"exit.{_reason.__name__}")
