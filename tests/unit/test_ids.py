"""Names of nodes are parsed once, at the edge; pids and refs are values."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from zmqcluster.core import decode, encode
from zmqcluster.errors import ConfigError
from zmqcluster.ids import NodeName, Pid, Ref

GOOD = [
    ("orders@10.0.0.7:7101", "orders", "10.0.0.7", 7101),
    ("orders@10.0.0.7", "orders", "10.0.0.7", None),
    ("a@localhost:1", "a", "localhost", 1),
    ("a-b_c.d@host-1.example.org:65535", "a-b_c.d", "host-1.example.org", 65535),
    ("a@[::1]:7101", "a", "::1", 7101),
    ("a@[fe80::1]", "a", "fe80::1", None),
]


@pytest.mark.parametrize(("text", "name", "host", "port"), GOOD)
def test_parse_when_well_formed_then_it_has_its_parts_and_is_its_text(
    text: str, name: str, host: str, port: int | None
) -> None:
    node = NodeName.parse(text)
    assert (node.name, node.host, node.port) == (name, host, port)
    assert node == text
    assert hash(node) == hash(text)


BAD = [
    ("", "lacks '@host'"),
    ("orders", "lacks '@host'"),
    ("@10.0.0.7:7101", "before '@'"),
    ("or ders@10.0.0.7", "before '@'"),
    ("ördérs@10.0.0.7", "before '@'"),
    ("a" * 65 + "@h", "before '@'"),
    ("orders@", "not a host name"),
    ("orders@:7101", "not a host name"),
    ("orders@ho st:7101", "not a host name"),
    ("orders@a@b", "not a host name"),
    ("orders@::1", "not a host name|the port"),
    ("orders@[::1", "not a host name"),
    ("orders@[::1]7101", "not a host name"),
    ("orders@10.0.0.7:", "the port"),
    ("orders@10.0.0.7:0", "the port"),
    ("orders@10.0.0.7:65536", "the port"),
    ("orders@10.0.0.7:-1", "the port"),
    ("orders@10.0.0.7:http", "the port"),
    ("orders@10.0.0.7:٧", "the port"),
    ("orders@10.0.0.7:7101\n", "the port"),
    ("orders\n@10.0.0.7", "before '@'"),
]


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_parse_when_malformed_then_the_message_names_the_wrong_part(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        NodeName.parse(text)


@pytest.mark.parametrize("text", [None, 7, b"orders@10.0.0.7", ["orders@10.0.0.7"]])
def test_parse_when_it_is_no_string_then_it_says_what_it_wants(text: Any) -> None:
    with pytest.raises(ConfigError, match="is a string such as"):
        NodeName.parse(text)


def test_node_name_when_sent_then_it_arrives_as_plain_text() -> None:
    arrived = decode(encode(NodeName.parse("a@h:1")))
    assert arrived == "a@h:1"


@pytest.mark.parametrize("cls", [Pid, Ref])
def test_identifier_is_a_value(cls: Any) -> None:
    one, same = cls("a@h", 5, 7), cls("a@h", 5, 7)
    others = [cls("b@h", 5, 7), cls("a@h", 6, 7), cls("a@h", 5, 8)]
    assert (one, hash(one)) == (same, hash(same))
    assert one not in others
    assert (one.node, one.incarnation, one.id) == ("a@h", 5, 7)
    assert sorted([*others, one]) == [one, others[2], others[1], others[0]]
    with pytest.raises(AttributeError):
        one.id = 8


@pytest.mark.parametrize("cls", [Pid, Ref])
def test_identifier_when_copied_pickled_or_sent_then_it_is_equal(cls: Any) -> None:
    one = cls("a@h", 2**63, 2**40)
    for made in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one)), decode(encode(one))):
        assert type(made) is cls
        assert made == one


def test_pid_and_ref_of_equal_numbers_are_different_things() -> None:
    ids: list[object] = [Pid("a@h", 1, 1), Ref("a@h", 1, 1)]
    assert ids[0] != ids[1]
