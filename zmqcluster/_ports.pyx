# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=False
"""Ports: where frames enter and leave the core, and libzmq called without Python in between.

    ROUTER --drain_raw--> Inlet (the core's dispatcher)        Outlet (one connection) --zmq_send--> DEALER

A transport knows only these two. The virtual methods are C, so a frame crosses the port without becoming a Python
object; the methods ending in ``_batch`` and ``_bytes`` are the same doors for Python.

libzmq is not linked: its functions are looked up in the library that pyzmq has loaded (``load_library``), so that both
work on the same sockets. Measured: a call's p50 is a quarter lower than through ``Socket.send`` and ``recv``.

Rules of the file: the GIL is held; nothing blocks; a handle is used only between the opening of its socket and
``RawOutlet.detach``, and it is the transport that sees to this.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR
from libc.string cimport memcpy

cdef extern from "dlfcn.h" nogil:
    void* dlopen(const char*, int)
    void* dlsym(void*, const char*)
    int RTLD_NOW
    int RTLD_NOLOAD


cdef class Inlet:
    """Where received frames go. Between ``begin`` and ``end`` lies one batch; after ``end`` its effects are out."""

    cdef int begin(self) except -1:
        raise NotImplementedError("Inlet.begin")

    cdef int feed(self, const char* source, size_t source_bytes, const char* data, size_t data_bytes) except -1:
        raise NotImplementedError("Inlet.feed")

    cdef int end(self) except -1:
        raise NotImplementedError("Inlet.end")

    def begin_batch(self):
        """Frames follow."""
        self.begin()

    def feed_bytes(self, bytes source not None, bytes frame not None):
        """Take one frame that came in over the connection ``source``."""
        self.feed(
            PyBytes_AS_STRING(source), PyBytes_GET_SIZE(source), PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame)
        )

    def end_batch(self):
        """The batch is over: run what became runnable, flush what it sent."""
        self.end()


cdef class CallableInlet(Inlet):
    """An inlet of Python callables: ``feed(source, frame)`` per frame, ``begin()`` and ``end()`` around a batch."""

    def __init__(self, feed, begin=None, end=None):
        self.on_feed = feed
        self.on_begin = begin
        self.on_end = end

    cdef int begin(self) except -1:
        if self.on_begin is not None:
            self.on_begin()
        return 0

    cdef int feed(self, const char* source, size_t source_bytes, const char* data, size_t data_bytes) except -1:
        self.on_feed(
            PyBytes_FromStringAndSize(source, <Py_ssize_t>source_bytes),
            PyBytes_FromStringAndSize(data, <Py_ssize_t>data_bytes),
        )
        return 0

    cdef int end(self) except -1:
        if self.on_end is not None:
            self.on_end()
        return 0


cdef class Outlet:
    """One outgoing connection. ``push`` answers 1: taken, or 0: full, push the same frame again after "writable"."""

    cdef int push(self, const char* data, size_t data_bytes) except -1:
        raise NotImplementedError("Outlet.push")

    cdef int push_two(self, const char* head, size_t head_bytes, const char* body, size_t body_bytes) except -1:
        """``push`` of a frame whose bytes lie in two places."""
        cdef bytes frame = PyBytes_FromStringAndSize(NULL, head_bytes + body_bytes)
        memcpy(PyBytes_AS_STRING(frame), head, head_bytes)
        memcpy(PyBytes_AS_STRING(frame) + head_bytes, body, body_bytes)
        return self.push(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))

    def push_bytes(self, bytes frame not None):
        """Return whether the frame was taken."""
        return self.push(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame)) == 1


cdef class CallableOutlet(Outlet):
    """An outlet that hands each frame to ``send(frame)``, which returns whether it took it."""

    def __init__(self, send):
        self.send = send

    cdef int push(self, const char* data, size_t data_bytes) except -1:
        return 1 if self.send(PyBytes_FromStringAndSize(data, <Py_ssize_t>data_bytes)) else 0


cdef class RawOutlet(Outlet):
    """An outlet onto the socket behind ``handle`` (pyzmq's ``Socket.underlying``).

    A push that finds it full blocks it until ``unblock``: libzmq copies a frame before it finds out that it has no room
    for it, so asking again and again is what must not happen. ``look_again()`` is called then; and until ``settle``
    after every push, since sending may take notice of what the socket's descriptor was about to tell.
    """

    def __init__(self, size_t handle, look_again):
        library()
        self.handle = <void*>handle
        self.look_again = look_again

    cdef int push(self, const char* data, size_t data_bytes) except -1:
        return self.push_two(data, data_bytes, NULL, 0)

    cdef int push_two(self, const char* head, size_t head_bytes, const char* body, size_t body_bytes) except -1:
        cdef bint looked = False
        cdef int error
        if self.blocked or self.handle == NULL:
            return 0
        while not self.blocked:
            error = self.send(head, head_bytes, body, body_bytes)
            if error == 0:
                break
            if error == EINTR:
                continue
            if error != EAGAIN:
                raise_error(error)
            # libzmq looks for news of room at most once a millisecond: a few small frames seem to fill it.
            self.blocked = looked or not self.has_room()
            looked = True
        if self.blocked or not self.is_settled:
            self.look_again()
        return not self.blocked

    cdef int send(self, const char* head, size_t head_bytes, const char* body, size_t body_bytes) noexcept:
        """Return 0, or the number of the error."""
        cdef Message message
        cdef int error
        if body_bytes == 0:
            return 0 if zmq.send(self.handle, head, head_bytes, NOBLOCK) >= 0 else zmq.error()
        if zmq.msg_init_size(&message, head_bytes + body_bytes) < 0:
            return zmq.error()
        memcpy(zmq.msg_data(&message), head, head_bytes)
        memcpy(<char*>zmq.msg_data(&message) + head_bytes, body, body_bytes)
        if zmq.msg_send(&message, self.handle, NOBLOCK) >= 0:
            return 0
        error = zmq.error()
        zmq.msg_close(&message)
        return error

    cdef bint has_room(self) noexcept:
        cdef int events = 0
        cdef size_t size_bytes = sizeof(int)
        zmq.getsockopt(self.handle, EVENTS, &events, &size_bytes)
        return events & POLLOUT != 0

    def unblock(self):
        """The socket has room again."""
        self.blocked = False

    def settle(self):
        """Nobody waits for anything from this socket but room."""
        self.is_settled = True

    def detach(self):
        """The socket is about to be closed: take nothing from now on."""
        self.handle = NULL


def drain_raw(size_t handle, Inlet inlet not None, int frames_max):
    """Feed what waits at a ROUTER to ``inlet``, as one batch; without any frame there is no batch.

    Returns:
        True: nothing is left, the socket's file descriptor will tell of more. False: ``frames_max`` stopped it.
    """
    cdef void* socket = <void*>handle
    cdef int count = 0
    cdef bint is_open = False
    library()
    try:
        while count < frames_max:
            if not receive(socket, inlet, &is_open):
                return True
            count += 1
        return False
    finally:
        if is_open:
            inlet.end()


cdef int receive(void* socket, Inlet inlet, bint* is_open) except -1:
    """Feed one message; 0: none is there. It is [source][frame]; what follows has no meaning here and is dropped."""
    cdef Message source
    cdef Message frame
    zmq.msg_init(&source)
    if not take(&source, socket):
        zmq.msg_close(&source)
        return 0
    zmq.msg_init(&frame)
    try:
        if zmq.msg_more(&source) and take(&frame, socket):
            if not is_open[0]:
                is_open[0] = True
                inlet.begin()
            inlet.feed(
                <const char*>zmq.msg_data(&source), zmq.msg_size(&source),
                <const char*>zmq.msg_data(&frame), zmq.msg_size(&frame),
            )
    finally:
        while zmq.msg_more(&frame) and take(&frame, socket):
            pass
        zmq.msg_close(&source)
        zmq.msg_close(&frame)
    return 1


cdef int take(Message* message, void* socket) except -1:
    while zmq.msg_recv(message, socket, NOBLOCK) < 0:
        if zmq.error() == EAGAIN:
            return 0
        if zmq.error() != EINTR:
            raise_error(zmq.error())
    return 1


cdef int raise_error(int code) except -1:
    raise OSError(code, f"libzmq: {zmq.error_text(code).decode('ascii', 'replace')}")


# --- the library
cdef Library zmq
cdef bint is_loaded = False


cdef Library* library() except NULL:
    """The functions of libzmq."""
    if not is_loaded:
        raise RuntimeError("libzmq's functions are not loaded: call load_library first")
    return &zmq


cdef int look_up(void* opened, void** function, const char* name) except -1:
    function[0] = dlsym(opened, name)
    return function[0] != NULL


def load_library(str path not None):
    """Look libzmq's functions up in the shared library at ``path``, which this process has loaded already.

    Returns:
        False: it is not loaded, or has not all of them; then use pyzmq's own methods.
    """
    global is_loaded
    if is_loaded:
        return True
    cdef bytes name = path.encode()
    cdef void* opened = dlopen(name, RTLD_NOW | RTLD_NOLOAD)
    is_loaded = (
        opened != NULL
        and look_up(opened, <void**>&zmq.send, b"zmq_send")
        and look_up(opened, <void**>&zmq.poll, b"zmq_poll")
        and look_up(opened, <void**>&zmq.getsockopt, b"zmq_getsockopt")
        and look_up(opened, <void**>&zmq.error, b"zmq_errno")
        and look_up(opened, <void**>&zmq.error_text, b"zmq_strerror")
        and look_up(opened, <void**>&zmq.msg_init, b"zmq_msg_init")
        and look_up(opened, <void**>&zmq.msg_init_size, b"zmq_msg_init_size")
        and look_up(opened, <void**>&zmq.msg_close, b"zmq_msg_close")
        and look_up(opened, <void**>&zmq.msg_recv, b"zmq_msg_recv")
        and look_up(opened, <void**>&zmq.msg_send, b"zmq_msg_send")
        and look_up(opened, <void**>&zmq.msg_more, b"zmq_msg_more")
        and look_up(opened, <void**>&zmq.msg_data, b"zmq_msg_data")
        and look_up(opened, <void**>&zmq.msg_size, b"zmq_msg_size")
    )
    return is_loaded
