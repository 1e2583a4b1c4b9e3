# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=False
"""Pid and Ref: who a process is, and which request, monitor or timer is meant.

Both are values: equal when (node, incarnation, id) are, whatever object carries them. The incarnation is that of the
node's start, so a pid of an earlier life of a node never reaches a process of its next one. Source: OTP "creation".
They hold no other object than a string, so they need no garbage collection and 48 bytes.
"""
cimport cython
from libc.stdint cimport uint64_t


cdef inline uint64_t mixed(uint64_t id, uint64_t incarnation) noexcept:
    return (id * 0x9E3779B97F4A7C15ULL) ^ incarnation


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Pid:
    """Identifies one process of one incarnation of one node.

    Args:
        node: the node's full name.
        incarnation: of the node's start.
        id: unique within that incarnation.
    """

    def __init__(self, str node not None, uint64_t incarnation, uint64_t id):
        self.node = node
        self.incarnation = incarnation
        self.id = id

    def __eq__(self, other):
        if type(other) is not Pid:
            return NotImplemented
        cdef Pid pid = <Pid>other
        return self.id == pid.id and self.incarnation == pid.incarnation and self.node == pid.node

    def __lt__(self, other):
        if type(other) is not Pid:
            return NotImplemented
        return (self.node, self.incarnation, self.id) < (other.node, other.incarnation, other.id)

    def __hash__(self):
        return <Py_hash_t>(mixed(self.id, self.incarnation) >> 1)

    def __repr__(self):
        return f"<{self.node} {self.id & 0xFFFFFFFF}.{self.id >> 32}>"

    def __reduce__(self):
        return Pid, (self.node, self.incarnation, self.id)


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Ref:
    """Identifies one monitor, timer or request of one incarnation of one node."""

    def __init__(self, str node not None, uint64_t incarnation, uint64_t id):
        self.node = node
        self.incarnation = incarnation
        self.id = id

    def __eq__(self, other):
        if type(other) is not Ref:
            return NotImplemented
        cdef Ref ref = <Ref>other
        return self.id == ref.id and self.incarnation == ref.incarnation and self.node == ref.node

    def __lt__(self, other):
        if type(other) is not Ref:
            return NotImplemented
        return (self.node, self.incarnation, self.id) < (other.node, other.incarnation, other.id)

    def __hash__(self):
        return <Py_hash_t>(mixed(self.id, self.incarnation) >> 1)

    def __repr__(self):
        return f"#Ref<{self.node} {self.id}>"

    def __reduce__(self):
        return Ref, (self.node, self.incarnation, self.id)


cdef Pid new_pid(str node, uint64_t incarnation, uint64_t id):
    cdef Pid pid = Pid.__new__(Pid)
    pid.node = node
    pid.incarnation = incarnation
    pid.id = id
    return pid


cdef Ref new_ref(str node, uint64_t incarnation, uint64_t id):
    cdef Ref ref = Ref.__new__(Ref)
    ref.node = node
    ref.incarnation = incarnation
    ref.id = id
    return ref
