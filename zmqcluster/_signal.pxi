# What arrives in a mailbox besides users' messages, and what handlers may return besides plain values.

@cython.final
cdef class Exit:
    """An exit signal, to a process that traps exits: ``pid`` ended, or asked us to end, with ``reason``."""
    __match_args__ = ("pid", "reason")
    cdef readonly object pid
    cdef readonly object reason

    def __init__(self, pid, reason):
        self.pid = pid
        self.reason = reason

    def __eq__(self, other):
        return type(other) is Exit and self.pid == other.pid and self.reason == other.reason

    def __repr__(self):
        return f"Exit({self.pid!r}, {self.reason!r})"


@cython.final
cdef class Down:
    """A monitored process ended. ``object`` is what was monitored: a Pid, or (name, node)."""
    __match_args__ = ("ref", "object", "reason")
    cdef readonly object ref
    cdef readonly object object
    cdef readonly object reason

    def __init__(self, ref, object, reason):
        self.ref = ref
        self.object = object
        self.reason = reason

    def __eq__(self, other):
        return (type(other) is Down and self.ref == other.ref and self.object == other.object
                and self.reason == other.reason)

    def __repr__(self):
        return f"Down({self.ref!r}, {self.object!r}, {self.reason!r})"


cdef class Resident:
    """Base of messages that stay on their node, such as one with a function in it: not copied, refused by links."""


@cython.final
@cython.freelist(2048)      # what comes from there does not bring the next garbage collection nearer
cdef class Cast:
    """A request without a reply. ``method`` names a @cast method, or is None for handle_cast."""
    __match_args__ = ("request",)
    cdef readonly str method
    cdef readonly object request
    cdef readonly dict keywords

    def __repr__(self):
        return f"Cast({self.method or ''}{self.request!r})"


@cython.final
cdef class TimeoutMessage:
    """Given to handle_info when the time asked for with ``timeout_s`` passed and no message came."""

    def __repr__(self):
        return "TIMEOUT"


TIMEOUT = TimeoutMessage()


cdef class Control:
    """Base of what a handler returns when it wants something besides replying with a value."""
    cdef readonly object timeout_s


cdef object checked_timeout(object timeout_s):
    if timeout_s is not None and not timeout_s >= 0:
        raise ConfigError(f"a timeout is None or a number of seconds of at least 0, not {timeout_s!r}")
    return timeout_s


@cython.final
cdef class Reply(Control):
    """Reply with ``value``, and expect the next message within ``timeout_s``."""
    __match_args__ = ("value", "timeout_s")
    cdef readonly object value

    def __init__(self, value, *, timeout_s=None):
        self.value = value
        self.timeout_s = checked_timeout(timeout_s)


@cython.final
cdef class NoReply(Control):
    """Reply later with ``reply(caller, value)``; expect the next message within ``timeout_s``."""
    __match_args__ = ("timeout_s",)

    def __init__(self, *, timeout_s=None):
        self.timeout_s = checked_timeout(timeout_s)


cdef object NOTHING = object()


@cython.final
cdef class Stop(Control):
    """End the server with ``reason``: terminate runs first, then ``reply`` is sent if one is given."""
    __match_args__ = ("reason",)
    cdef readonly object reason
    cdef readonly object reply

    def __init__(self, reason=Normal(), *, reply=NOTHING):
        self.reason = reason
        self.reply = reply

    @property
    def has_reply(self):
        return self.reply is not NOTHING


@cython.final
cdef class Continue(Control):
    """Run handle_continue(value) before the next message; reply first if one is given."""
    __match_args__ = ("value",)
    cdef readonly object value
    cdef readonly object reply

    def __init__(self, value, *, reply=NOTHING):
        self.value = value
        self.reply = reply

    @property
    def has_reply(self):
        return self.reply is not NOTHING


@cython.final
cdef class Ignore(Control):
    """Returned by init: do not start, and that is no failure."""


@cython.final
cdef class Behaviour:
    """How the processes of one server class handle their messages; made once per class by the layer above.

    ``calls`` and ``casts`` map the names of typed methods to functions; the other handlers are functions or None. The
    three slow paths are coroutine functions, stepped by the process itself: ``controlled(server, call, control)`` after
    a handler returned a Control, ``stopping(server, reason)`` when the parent ended, and
    ``crashed(server, message, error)``.
    """
    cdef readonly str name
    cdef dict calls
    cdef dict casts
    cdef object handle_call
    cdef object handle_cast
    cdef object handle_info
    cdef object controlled
    cdef object stopping
    cdef object crashed

    def __init__(self, str name, dict calls, dict casts, *, handle_call, handle_cast, handle_info,
                 controlled, stopping, crashed):
        self.name = name
        self.calls = calls
        self.casts = casts
        self.handle_call = handle_call
        self.handle_cast = handle_cast
        self.handle_info = handle_info
        self.controlled = controlled
        self.stopping = stopping
        self.crashed = crashed
