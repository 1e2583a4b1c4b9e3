"""Who may import whom: reads every import of the package and names those that break a rule of the layers.

    errors constants exits telemetry            lowest
    core    (_ids _codec _ring _wheel _ports _beat _core _reference core)
    ids
    protocol | transport
    wire
    runtime
    otp
    cluster | discovery
    monitoring | testing
    commands
    __init__ __main__                           highest

Rules: a row imports lower rows only, siblings of a row never import each other, inside a folder anything goes but a
cycle. An import under ``if TYPE_CHECKING`` counts for rows and cycles, not for what a protocol core may use.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "zmqcluster"
ROWS = [
    ["errors", "constants", "exits", "telemetry"],
    ["core"],
    ["ids"],
    ["protocol", "transport"],
    ["wire"],
    ["runtime"],
    ["otp"],
    ["cluster", "discovery"],
    ["monitoring", "testing"],
    ["commands"],
    ["__init__", "__main__"],
]
ROW_OF = {group: row for row, groups in enumerate(ROWS) for group in groups}
IMPURE = {"asyncio", "socket", "time", "random"}
HOME_OF = {"zmq": f"{PACKAGE}/transport/zmq.py", "msgpack": f"{PACKAGE}/wire/codec.py"}

_CYTHON = re.compile(
    r"\s*(?:from\s+(?P<source>[\w.]+)\s+c?import\s+(?P<names>[^#]+)|c?import\s+(?P<plain>[^#]+))"
)
_FUNCTION = re.compile(r"\s*(async\s+)?(cdef|cpdef|def)\b.*\(")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module: where, what, and how."""

    path: str
    line: int
    target: str  # a dotted name; a module of the package where it is one
    in_function: bool = False
    for_types: bool = False


def sources(root: Path) -> dict[str, str]:
    """Return the text of every .py, .pyx, .pxd and .pxi of the package under ``root``, by its path."""
    paths = sorted(path for path in (root / PACKAGE).rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".pxi"))
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def findings(files: Mapping[str, str]) -> list[str]:
    """Return ``path:line: rule`` for each import that breaks a rule, sorted."""
    modules = {module_of(path) for path in files}
    imports = [found for path, text in files.items() for found in imports_of(path, text, modules)]
    found = {f"{each.path}:{each.line}: {rule}" for each in imports for rule in broken_rules(each)}
    return sorted(found | set(cycles(imports)))


def module_of(path: str) -> str:
    """Return the dotted name of a file: ``zmqcluster/otp/__init__.py`` is ``zmqcluster.otp``."""
    dotted = path.rsplit(".", 1)[0].replace("/", ".")
    return dotted.removesuffix(".__init__")


def group_of(module: str) -> str:
    """Return the word that stands for a module in ``ROWS``."""
    parts = module.split(".")
    if len(parts) == 1:
        return "__init__"
    return "core" if parts[1].startswith("_") and not parts[1].startswith("__") else parts[1]


def imports_of(path: str, text: str, modules: set[str]) -> Iterator[Import]:
    if path.endswith(".py"):
        visitor = _Visitor(path, modules)
        visitor.visit(ast.parse(text, path))
        return iter(visitor.found)
    return _cython_imports(path, text, modules)


def broken_rules(each: Import) -> Iterator[str]:
    if each.in_function:
        yield "an import stands inside a function"
    top = each.target.split(".")[0]
    if top in HOME_OF and each.path != HOME_OF[top] and not each.for_types:
        yield f"{top} is imported outside {HOME_OF[top]}"
    importer = group_of(module_of(each.path))
    if importer == "protocol" and top in IMPURE and not each.for_types:
        yield f"a protocol core imports {top}"
    if top == PACKAGE:
        yield from _broken_row_rules(importer, each.target)


def _broken_row_rules(importer: str, target: str) -> Iterator[str]:
    imported = group_of(target)
    if imported == "__init__":
        yield "the facade is imported"
    elif importer not in ROW_OF or imported not in ROW_OF:
        yield f"{importer if importer not in ROW_OF else imported} has no row"
    elif ROW_OF[importer] < ROW_OF[imported]:
        yield f"{importer} imports {imported}, a higher row"
    elif ROW_OF[importer] == ROW_OF[imported] and importer != imported:
        yield f"{importer} imports {imported}, a sibling of its row"


def cycles(imports: list[Import]) -> Iterator[str]:
    """Yield each import that closes a cycle, with the way back to where it stands."""
    edges: dict[str, set[str]] = {}
    for each in imports:
        edges.setdefault(module_of(each.path), set()).add(each.target)
    for each in imports:
        start = module_of(each.path)
        if each.target == start:
            continue  # a .pyx cimports its own .pxd
        way = _way(edges, each.target, start)
        if way:
            yield f"{each.path}:{each.line}: an import cycle: {' -> '.join([start, *way])}"


def _way(edges: Mapping[str, set[str]], start: str, goal: str) -> list[str]:
    ways, seen = [[start]], {start}
    for way in ways:
        if way[-1] == goal:
            return way
        for target in sorted(edges.get(way[-1], set()) - seen):
            seen.add(target)
            ways.append([*way, target])
    return []


def _targets(source: str, names: list[str], modules: set[str]) -> list[str]:
    """``from source import names``: submodules where the names are modules, else ``source`` itself."""
    return sorted({f"{source}.{name}" if f"{source}.{name}" in modules else source for name in names})


class _Visitor(ast.NodeVisitor):
    def __init__(self, path: str, modules: set[str]) -> None:
        self.path, self.modules = path, modules
        package = module_of(path).split(".")
        self.package = package if path.endswith("__init__.py") else package[:-1]
        self.found: list[Import] = []
        self._functions = self._type_blocks = 0

    def _add(self, node: ast.stmt, targets: list[str]) -> None:
        for target in targets:
            self.found.append(Import(self.path, node.lineno, target, self._functions > 0, self._type_blocks > 0))

    def visit_Import(self, node: ast.Import) -> None:
        self._add(node, [alias.name for alias in node.names])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        above = self.package[: len(self.package) - node.level + 1] if node.level else []
        source = ".".join([*above, *([node.module] if node.module else [])])
        self._add(node, _targets(source, [alias.name for alias in node.names], self.modules))

    def visit_If(self, node: ast.If) -> None:
        for_types = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        self._type_blocks += for_types
        for child in node.body:
            self.visit(child)
        self._type_blocks -= for_types
        for child in node.orelse:
            self.visit(child)

    def _visit_function(self, node: ast.AST) -> None:
        self._functions += 1
        self.generic_visit(node)
        self._functions -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _visit_function


def _cython_imports(path: str, text: str, modules: set[str]) -> Iterator[Import]:
    """The imports of a Cython file, line by line; what encloses one is read off the indentation."""
    blocks: list[tuple[int, bool]] = []  # the open blocks: indentation, whether a function
    for line, content in enumerate(text.splitlines(), 1):
        code = content.split("#")[0].rstrip()
        if not code:
            continue
        indentation = len(code) - len(code.lstrip())
        while blocks and blocks[-1][0] >= indentation:
            blocks.pop()
        if code.endswith(":"):
            blocks.append((indentation, _FUNCTION.match(code) is not None))
        match = _CYTHON.fullmatch(code)
        if match is not None:
            in_function = any(is_function for _, is_function in blocks)
            yield from (Import(path, line, target, in_function) for target in _cython_targets(match, modules))


def _cython_targets(match: re.Match[str], modules: set[str]) -> list[str]:
    names = [name.split(" as ")[0].strip(" ()") for name in (match["names"] or match["plain"]).split(",")]
    return _targets(match["source"], names, modules) if match["source"] else names
