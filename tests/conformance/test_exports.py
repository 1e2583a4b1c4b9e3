"""What is public is there, is meant to be, and the stubs say what was compiled."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import zmqcluster
from zmqcluster import errors, exits

PACKAGE = Path(zmqcluster.__file__).parent
STUBS = sorted(path.stem for path in PACKAGE.glob("*.pyi"))
PROMISED = re.findall(
    r"\w+",
    """
run Node node nodes connect disconnect joined monitor_nodes NodeUp NodeDown Gossip Timing Local Static
spawn spawn_link spawn_monitor send receive self exit link unlink monitor demonitor trap_exits send_after cancel_timer
register unregister whereis Pid Ref NodeName Exit Down Via
GenServer call cast reply Reply NoReply Stop Continue Ignore Supervisor ChildSpec
ClusterRegistry ClusterSupervisor Groups PubSub Presence message HashRing
""",
)


@pytest.mark.parametrize("name", PROMISED)
def test_promised_name_is_exported(name: str) -> None:
    assert name in zmqcluster.__all__
    assert hasattr(zmqcluster, name)


def test_every_exported_name_exists_once() -> None:
    assert len(set(zmqcluster.__all__)) == len(zmqcluster.__all__)
    assert [name for name in zmqcluster.__all__ if not hasattr(zmqcluster, name)] == []


@pytest.mark.parametrize("module", [errors, exits], ids=["errors", "exits"])
def test_every_error_and_exit_reason_is_exported(module: ModuleType) -> None:
    assert [name for name in module.__all__ if name not in zmqcluster.__all__ and name != "ExitReason"] == []


def test_every_exported_function_and_class_says_what_it_is() -> None:
    exported = [getattr(zmqcluster, name) for name in zmqcluster.__all__]
    silent = [each for each in exported if (inspect.isclass(each) or inspect.isfunction(each)) and not each.__doc__]
    assert silent == []


@pytest.mark.parametrize("stub", STUBS)
def test_stub_names_are_in_the_compiled_module(stub: str) -> None:
    module = importlib.import_module(f"zmqcluster.{stub}")
    assert missing(ast.parse((PACKAGE / f"{stub}.pyi").read_text()).body, module) == []


@pytest.mark.parametrize("stub", STUBS)
def test_public_members_of_compiled_classes_are_in_their_stub(stub: str) -> None:
    module = importlib.import_module(f"zmqcluster.{stub}")
    assert untold(ast.parse((PACKAGE / f"{stub}.pyi").read_text()).body, module) == []


def untold(body: list[ast.stmt], module: ModuleType) -> list[str]:
    """Return the public members of the stub's classes that the compiled ones have and the stub does not name."""
    return [
        f"{node.name}.{name}"
        for node in body
        if isinstance(node, ast.ClassDef) and not is_for_types(node)
        for name in sorted(vars(getattr(module, node.name)).keys() - names_of(node.body))
        if not name.startswith("_")
    ]


def is_for_types(node: ast.ClassDef) -> bool:
    """Whether it is in the stub for the types alone."""
    return node.name.startswith("_") or any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)


def missing(body: list[ast.stmt], owner: object) -> list[str]:
    """Return what a stub promises of ``owner``, a module or a class, and the compiled code has not."""
    found = [name for name in sorted(names_of(body)) if not hasattr(owner, name)]
    for node in body:
        if isinstance(node, ast.ClassDef) and hasattr(owner, node.name):
            found += [f"{node.name}.{name}" for name in missing(node.body, getattr(owner, node.name))]
    return found


def names_of(body: list[ast.stmt]) -> set[str]:
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.ClassDef):
            names |= set() if is_for_types(node) else {node.name}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call):  # a call makes a TypeVar
            names |= {target.id for target in node.targets if isinstance(target, ast.Name) and target.id != "__all__"}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname for alias in node.names if alias.asname}
    return names


def test_stub_check_bites_on_a_name_that_was_not_compiled() -> None:
    stub = ast.parse("class Pid:\n    node: str\n    colour: str\ndef nothing() -> None: ...")
    assert missing(stub.body, importlib.import_module("zmqcluster._ids")) == ["nothing", "Pid.colour"]


def test_stub_check_bites_on_a_member_the_stub_does_not_name() -> None:
    stub = ast.parse("class Pid:\n    node: str\n    id: int")
    assert untold(stub.body, importlib.import_module("zmqcluster._ids")) == ["Pid.incarnation"]
