"""Where frames enter and leave the core: see _ports.pyx."""

cdef class Inlet:
    cdef int begin(self) except -1
    cdef int feed(self, const char* source, size_t source_bytes, const char* data, size_t data_bytes) except -1
    cdef int end(self) except -1


cdef class Outlet:
    cdef int push(self, const char* data, size_t data_bytes) except -1
    cdef int push_two(self, const char* head, size_t head_bytes, const char* body, size_t body_bytes) except -1


cdef class CallableInlet(Inlet):
    cdef object on_feed
    cdef object on_begin
    cdef object on_end


cdef class CallableOutlet(Outlet):
    cdef object send


cdef class RawOutlet(Outlet):
    cdef void* handle
    cdef object look_again
    cdef readonly bint blocked
    cdef bint is_settled
    cdef bint has_room(self) noexcept
    cdef int send(self, const char* head, size_t head_bytes, const char* body, size_t body_bytes) noexcept


cdef struct Message:
    char opaque[64]  # zmq_msg_t, of this size in every libzmq 4


cdef struct PollItem:  # zmq_pollitem_t
    void* socket
    int fd
    short events
    short revents


cdef struct Library:
    int (*send)(void*, const void*, size_t, int) noexcept nogil
    int (*poll)(PollItem*, int, long) noexcept nogil
    int (*getsockopt)(void*, int, void*, size_t*) noexcept nogil
    int (*error)() noexcept nogil
    const char* (*error_text)(int) noexcept nogil
    int (*msg_init)(Message*) noexcept nogil
    int (*msg_init_size)(Message*, size_t) noexcept nogil
    int (*msg_close)(Message*) noexcept nogil
    int (*msg_recv)(Message*, void*, int) noexcept nogil
    int (*msg_send)(Message*, void*, int) noexcept nogil
    int (*msg_more)(const Message*) noexcept nogil
    void* (*msg_data)(Message*) noexcept nogil
    size_t (*msg_size)(const Message*) noexcept nogil


cdef enum:
    NOBLOCK = 1  # ZMQ_DONTWAIT
    SNDMORE = 2
    POLLIN = 1
    POLLOUT = 2
    EVENTS = 15  # ZMQ_EVENTS


cdef Library* library() except NULL
