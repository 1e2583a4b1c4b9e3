"""Types of the compiled codec; _codec.pyx tells the idea, _reference.py says the same in Python."""

from collections.abc import Buffer

from zmqcluster._messages import message as message
from zmqcluster._messages import register_message as register_message
from zmqcluster._messages import register_str as register_str

__all__ = ["decode", "encode", "message", "register_message", "register_str"]

def encode(value: object) -> bytes: ...
def decode(data: Buffer) -> object: ...
