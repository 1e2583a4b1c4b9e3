"""Pid and Ref; see _ids.pyx."""

from typing import final

@final
class Pid:
    node: str
    incarnation: int
    id: int
    def __init__(self, node: str, incarnation: int, id: int) -> None: ...
    def __lt__(self, other: Pid) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Ref:
    node: str
    incarnation: int
    id: int
    def __init__(self, node: str, incarnation: int, id: int) -> None: ...
    def __lt__(self, other: Ref) -> bool: ...
    def __hash__(self) -> int: ...
