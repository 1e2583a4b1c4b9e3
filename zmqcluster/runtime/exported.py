"""Which functions other nodes may run here: those decorated with ``remote``, and those of the modules that are allowed.

    @remote                          ──> "shop.orders:archive"        by its module and qualified name
    @remote(name="orders.archive")   ──> "orders.archive"             by a name that survives a move of the code

A function travels as its name, never as code, and is looked up on the node that is to run it. Of one name the function
that was exported last counts, so that a module may be loaded anew.
Rule: nothing that arrives leads to a function that was not exported on purpose; an attribute of a module that merely
was imported there is none.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeVar, overload

from zmqcluster.errors import ConfigError

__all__ = ["Function", "exported_function", "function_name", "remote"]

F = TypeVar("F", bound=Callable[..., Any])
Function = Callable[..., Any] | str  # or the name under which it is exported

_exported: dict[str, Callable[..., Any]] = {}
_names: dict[Callable[..., Any], str] = {}


@overload
def remote(function: F, /) -> F: ...
@overload
def remote(*, name: str) -> Callable[[F], F]: ...
def remote(function: F | None = None, /, *, name: str | None = None) -> F | Callable[[F], F]:
    """Decorate a function so that other nodes may run it here: with ``spawn_on`` and ``erpc``. It stays as it is.

    Args:
        name: what it is called on the wire, the same on all nodes; by default ``module:qualname``.
    Raises:
        ConfigError: it is no function that has a name of its own.
    """
    if function is not None:
        return _export(function, _own_name(function) if name is None else name)
    if not isinstance(name, str) or not name:
        raise ConfigError(f"@remote(name=...) takes a non-empty string, not {name!r}")
    return lambda decorated: _export(decorated, name)


def _export(function: F, name: str) -> F:
    if not callable(function):
        raise ConfigError(f"@remote exports a function, not {function!r}")
    _exported[name] = function
    _names[function] = name
    return function


def function_name(function: Function) -> str:
    """How a function is called on the wire.

    Raises:
        ConfigError: it has no name by which another node could find it, as a lambda or a bound method.
    """
    if isinstance(function, str):
        return function
    try:
        return _names[function]
    except (KeyError, TypeError):  # not exported here, or not hashable
        return _own_name(function)


def _own_name(function: Any) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<lambda>")
    if not inspect.isroutine(function) or inspect.ismethod(function) or not module or name.endswith("<lambda>"):
        raise ConfigError(
            f"{function!r} cannot be run on another node: only the name of a function travels, "
            "so give a function of a module, or its name 'module:qualname'"
        )
    return f"{module}:{name}"


def exported_function(name: str, allowed: Sequence[str] = ()) -> Callable[..., Any] | None:
    """The function that other nodes call ``name``, or None.

    Args:
        allowed: modules whose functions are all exported, with those of their submodules; imported when asked for.
    """
    function = _exported.get(name)
    if function is not None:
        return function
    module, _, qualname = name.partition(":")
    if qualname and any(module == prefix or module.startswith(f"{prefix}.") for prefix in allowed):
        return _function_of(module, qualname)
    return None


def _function_of(module: str, qualname: str) -> Callable[..., Any] | None:
    """A function that the module defines itself, and does not keep private."""
    try:
        found: Any = reduce(getattr, qualname.split("."), importlib.import_module(module))
    except (ImportError, AttributeError):
        return None
    is_own = inspect.isfunction(found) and (found.__module__, found.__qualname__) == (module, qualname)
    return found if is_own and not any(part.startswith("_") for part in qualname.split(".")) else None
