"""Errors: each one formats, pickles and copies, and says whose fault it is by its bases."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from zmqcluster import errors
from zmqcluster.errors import ClusterError

ALL: list[type[ClusterError]] = [
    value for name in errors.__all__ if issubclass(value := getattr(errors, name), ClusterError)
]
VALUES = {"timeout_s": 2.5, "bound": 10, "have": 1, "need": 3, "offset": 7, "size_bytes": 2048, "limit_bytes": 1024}


def sample(cls: type[ClusterError]) -> ClusterError:
    """An error of the class with a plausible value for each of its fields."""
    if not cls.FIELDS:
        return cls("what happened")
    return cls(*(VALUES.get(field, f"the {field}") for field in cls.FIELDS))


def names(cls: type[Any]) -> str:
    return cls.__name__


@pytest.mark.parametrize("cls", ALL, ids=names)
def test_message_when_formatted_then_it_holds_the_fields_and_no_placeholder(cls: type[ClusterError]) -> None:
    text = str(sample(cls))
    assert text
    assert "{" not in text
    assert not text.startswith("the ") or cls.FIELDS
    for field in cls.FIELDS:
        if f"{{0.{field}" in (cls.__doc__ or "").split("\n", 1)[0]:
            assert str(VALUES.get(field, f"the {field}")) in text


@pytest.mark.parametrize("cls", ALL, ids=names)
@pytest.mark.parametrize("way", ["pickle", "copy", "deepcopy"])
def test_error_when_copied_then_class_fields_and_text_are_the_same(cls: type[ClusterError], way: str) -> None:
    error = sample(cls)
    ways: dict[str, Callable[[], ClusterError]] = {
        "pickle": lambda: pickle.loads(pickle.dumps(error)),
        "copy": lambda: copy.copy(error),
        "deepcopy": lambda: copy.deepcopy(error),
    }
    made = ways[way]()
    assert type(made) is cls
    assert made.args == error.args
    assert str(made) == str(error)
    assert [getattr(made, field) for field in cls.FIELDS] == [getattr(error, field) for field in cls.FIELDS]


@pytest.mark.parametrize("cls", [cls for cls in ALL if cls.FIELDS], ids=names)
def test_error_when_fields_are_missing_or_too_many_then_it_says_which_it_takes(cls: type[ClusterError]) -> None:
    for count in (0, len(cls.FIELDS) + 1):
        with pytest.raises(TypeError, match=cls.FIELDS[0]):
            cls(*range(count))


@pytest.mark.parametrize("cls", ALL, ids=names)
def test_error_has_a_docstring_of_its_own(cls: type[ClusterError]) -> None:
    assert "__doc__" in vars(cls)
    assert cls.__doc__


BUILTINS: list[tuple[type[ClusterError], type[BaseException]]] = [
    (errors.ConfigError, ValueError),
    (errors.UsageError, RuntimeError),
    (errors.EncodeError, TypeError),
    (errors.DecodeError, ValueError),
    (errors.ConnectionFailed, ConnectionError),
    (errors.NoProcessError, LookupError),
    (errors.CallTimeout, TimeoutError),
    (errors.NotRegistered, LookupError),
    (errors.NoMember, LookupError),
    (errors.NoSuchMethod, AttributeError),
]


@pytest.mark.parametrize(("cls", "builtin"), BUILTINS)
def test_error_is_also_the_builtin_that_a_caller_would_catch(
    cls: type[ClusterError], builtin: type[BaseException]
) -> None:
    with pytest.raises(builtin):
        raise sample(cls)


def test_refusal_and_process_exit_carry_what_they_were_given() -> None:
    refused = errors.NoMember("no node")
    assert errors.Refusal(refused).error is refused
    assert errors.ProcessExit(("any", "reason")).reason == ("any", "reason")
    assert not issubclass(errors.ProcessExit, Exception)


def test_every_error_of_the_module_is_named_in_all() -> None:
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)
