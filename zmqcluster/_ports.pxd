"""Where frames enter and leave the core: see _ports.pyx."""

cdef class Inlet:
    cdef int begin(self) except -1
    cdef int feed(self, const char* source, size_t source_bytes, const char* data, size_t data_bytes) except -1
    cdef int end(self) except -1


cdef class Outlet:
    cdef int push(self, const char* data, size_t data_bytes) except -1
