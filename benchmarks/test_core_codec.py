"""The codec of the core beside the msgpack package: ``python -m pytest benchmarks``."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from zmqcluster.core import decode, encode

VALUES: dict[str, Any] = {
    "small": {"op": "credit", "id": 123456, "amount": 12.5, "currency": "USD"},
    "list": ["credit", 123456, 12.5],
    "nested": {
        "donation_id": "DON-001-2024",
        "donor": {"name": "Aisha Rahman", "email": "a@example.org"},
        "amount": 1000,
        "items": [1, 2, 3, 4, 5],
        "tags": ["zakat", "monthly"],
        "ok": True,
        "note": None,
    },
}
values = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)


@values
def test_encode(benchmark: BenchmarkFixture, value: Any) -> None:
    benchmark.group = "encode"
    assert msgpack.unpackb(benchmark(encode, value)) == value


@values
def test_encode_by_msgpack(benchmark: BenchmarkFixture, value: Any) -> None:
    benchmark.group = "encode"
    assert benchmark(msgpack.Packer().pack, value)


@values
def test_decode(benchmark: BenchmarkFixture, value: Any) -> None:
    benchmark.group = "decode"
    assert benchmark(decode, msgpack.packb(value)) == value


@values
def test_decode_by_msgpack(benchmark: BenchmarkFixture, value: Any) -> None:
    benchmark.group = "decode"
    assert benchmark(msgpack.unpackb, msgpack.packb(value)) == value
