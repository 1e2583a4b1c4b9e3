"""Process identifiers and references: see _ids.pyx."""
from libc.stdint cimport uint64_t


cdef class Pid:
    cdef readonly str node
    cdef readonly uint64_t incarnation
    cdef readonly uint64_t id


cdef class Ref:
    cdef readonly str node
    cdef readonly uint64_t incarnation
    cdef readonly uint64_t id


cdef Pid new_pid(str node, uint64_t incarnation, uint64_t id)
cdef Ref new_ref(str node, uint64_t incarnation, uint64_t id)
