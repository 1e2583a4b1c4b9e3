# Typed methods of servers: what @call and @cast leave in a class, and what a client handle gives for them. In the core
# because a Python frame here would cost more than the request itself. Their types are in _core.pyi, the story in
# otp/methods.py.

@cython.final
@cython.freelist(64)
cdef class BoundCall:
    """A call method of one server: call it, or ``within`` another time."""
    cdef object dest
    cdef str name
    cdef object timeout_s

    def __call__(self, *arguments, **keywords):
        """Ask the server; await the reply. Raises ServerExited, NoProcessError, NoConnectionError, CallTimeout."""
        return here("a call").call(self.dest, arguments, self.timeout_s, self.name, keywords if keywords else None)

    def within(self, timeout_s):
        """The same method with another time-out in seconds; None waits for ever."""
        return bound_call(self.dest, self.name, timeout_s)


@cython.final
@cython.freelist(64)
cdef class BoundCast:
    """A cast method of one server."""
    cdef object dest
    cdef str name

    def __call__(self, *arguments, **keywords):
        """Tell the server; nothing comes back, not even that it is not there."""
        here("a cast").cast(self.dest, arguments, self.name, keywords if keywords else None)


cdef BoundCall bound_call(object dest, str name, object timeout_s):
    cdef BoundCall bound = BoundCall.__new__(BoundCall)
    bound.dest = dest
    bound.name = name
    bound.timeout_s = timeout_s
    return bound


cdef inline object dest_of(object handle):
    """Where the requests of a client handle go; the state of a server has no such place, and says so."""
    try:
        return handle._dest
    except AttributeError:
        return handle.dest


@cython.final
cdef class CallMethod:
    """What ``@call`` leaves in the class; ``function`` is the plain one."""
    cdef readonly object function
    cdef readonly str name

    def __init__(self, function):
        self.function = function
        self.name = function.__name__

    @property
    def __wrapped__(self):
        return self.function

    def __get__(self, handle, owner):
        return self if handle is None else bound_call(dest_of(handle), self.name, DEFAULT_TIMEOUT_S)


@cython.final
cdef class CastMethod:
    """What ``@cast`` leaves in the class; ``function`` is the plain one."""
    cdef readonly object function
    cdef readonly str name

    def __init__(self, function):
        self.function = function
        self.name = function.__name__

    @property
    def __wrapped__(self):
        return self.function

    def __get__(self, handle, owner):
        cdef BoundCast bound
        if handle is None:
            return self
        bound = BoundCast.__new__(BoundCast)
        bound.dest = dest_of(handle)
        bound.name = self.name
        return bound


DEFAULT_TIMEOUT_S = 5.0         # Source: gen_server:call/2


def call(dest, request=NOTHING, timeout_s=DEFAULT_TIMEOUT_S):
    """``await call(dest, request)``: ask a server's handle_call. As a decorator, ``@call`` makes a typed method.

    Args:
        timeout_s: after this long CallTimeout is raised; a late reply vanishes. None waits for ever.
    Raises:
        NoProcessError: nobody there. CallingSelf: the caller is the server.
        ServerExited: the server ended before it replied; the request may have been handled.
        NoConnectionError: the link to its node went down; the request may have been handled.
        CallTimeout: no reply in time; the call may still run.
    Source: gen_server:call/3.
    """
    if request is NOTHING:
        return CallMethod(decorated("call", dest))
    return here("call()").call(dest, request, timeout_s, None, None)


def cast(dest, request=NOTHING):
    """``cast(dest, request)``: tell a server's handle_cast, and go on. As a decorator it makes a typed method.

    Nobody there is no error, and a node that cannot be reached is none either. Source: gen_server:cast/2.
    """
    if request is NOTHING:
        return CastMethod(decorated("cast", dest))
    here("cast()").cast(dest, request, None, None)


cdef object decorated(str what, object function):
    if not callable(function):
        raise UsageError(f"{what}(dest, request) needs a request")
    return function
