"""How soon twenty started nodes are all connected to each other; by the public API, links encrypted."""

from __future__ import annotations

from benchmarks.contender import Figures, serve
from benchmarks.fleet import ours


def mesh_20_ms() -> Figures:
    with ours() as nodes:
        return {"mesh.20_ms": nodes.mesh_s() * 1000}


if __name__ == "__main__":
    serve({"mesh.20_ms": mesh_20_ms})
