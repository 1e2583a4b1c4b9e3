# The mailbox: a ring of object pointers.
#
#      head                       head + used
#        v                            v
#    [ . m m _ m m m _ m . . . . . . .]      m message, _ hole left by a selective receive, . free
#
# The slot at the head and the last slot in use are never holes, so used == 0 means empty, and taking the first message
# is O(1). ``used`` counts holes, ``holes`` says how many. The capacity is a power of two.

cdef struct Ring:
    PyObject** slots
    uint32_t capacity
    uint32_t head
    uint32_t used
    uint32_t holes


cdef int ring_grow(Ring* ring) except -1:
    cdef uint32_t capacity = 4 if ring.capacity == 0 else ring.capacity * 2
    cdef PyObject** slots = <PyObject**>malloc(capacity * sizeof(PyObject*))
    cdef uint32_t first
    if slots == NULL:
        raise MemoryError
    if ring.used:
        first = ring.capacity - ring.head
        if first > ring.used:
            first = ring.used
        memcpy(slots, ring.slots + ring.head, first * sizeof(PyObject*))
        memcpy(slots + first, ring.slots, (ring.used - first) * sizeof(PyObject*))
    free(ring.slots)
    ring.slots = slots
    ring.capacity = capacity
    ring.head = 0
    return 0


cdef inline int ring_push(Ring* ring, object message) except -1:
    if ring.used == ring.capacity:
        ring_grow(ring)
    Py_INCREF(message)
    ring.slots[(ring.head + ring.used) & (ring.capacity - 1)] = <PyObject*>message
    ring.used += 1
    return 0


cdef inline void ring_trim(Ring* ring) noexcept:
    """Restore the invariant at both ends, and give back a large buffer that is empty."""
    while ring.holes and ring.used and ring.slots[ring.head] == NULL:
        ring.head = (ring.head + 1) & (ring.capacity - 1)
        ring.used -= 1
        ring.holes -= 1
    while ring.holes and ring.used and ring.slots[(ring.head + ring.used - 1) & (ring.capacity - 1)] == NULL:
        ring.used -= 1
        ring.holes -= 1
    if ring.used == 0 and ring.capacity > 256:
        free(ring.slots)
        ring.slots = NULL
        ring.capacity = 0
        ring.head = 0


cdef inline PyObject* ring_pop(Ring* ring) noexcept:
    """Take the first message; the ring is not empty. The caller owns the reference."""
    cdef PyObject* message = ring.slots[ring.head]
    ring.head = (ring.head + 1) & (ring.capacity - 1)
    ring.used -= 1
    if ring.holes or (ring.used == 0 and ring.capacity > 256):
        ring_trim(ring)
    return message


cdef inline PyObject* ring_at(Ring* ring, uint32_t position) noexcept:
    return ring.slots[(ring.head + position) & (ring.capacity - 1)]


cdef inline PyObject* ring_take(Ring* ring, uint32_t position) noexcept:
    """Take the message ``position`` slots after the head; the others keep their order."""
    cdef uint32_t slot = (ring.head + position) & (ring.capacity - 1)
    cdef PyObject* message = ring.slots[slot]
    if position == 0:
        return ring_pop(ring)
    ring.slots[slot] = NULL
    ring.holes += 1
    ring_trim(ring)
    return message


cdef void ring_clear(Ring* ring) noexcept:
    cdef PyObject* message
    while ring.used:
        message = ring_pop(ring)
        Py_XDECREF(message)
    free(ring.slots)
    ring.slots = NULL
    ring.capacity = 0
    ring.head = 0


cpdef bint matches(object match, object message) except -1:
    """Whether ``message`` is what a receive waits for.

    A type matches its instances, so does a union of types, ``...`` matches anything, a tuple matches a tuple of its
    length part by part, a function decides by itself, and any other value matches its equal of the same type.
    """
    cdef Py_ssize_t position
    if isinstance(match, type):
        return isinstance(message, match)
    if match is ...:
        return True
    if type(match) is tuple:
        if type(message) is not tuple or len(<tuple>message) != len(<tuple>match):
            return False
        for position in range(len(<tuple>match)):
            if not matches((<tuple>match)[position], (<tuple>message)[position]):
                return False
        return True
    if callable(match):
        decided = match(message)
        if PyCoro_CheckExact(decided):
            decided.close()
            raise ConfigError(f"{match!r} is async: a pattern's function decides at once")
        return bool(decided)
    if type(match) is UnionType:
        return isinstance(message, match)
    return type(message) is type(match) and bool(message == match)


cpdef int check_pattern(object match) except -1:
    """Raise ConfigError for what would match everything, or never anything, by mistake."""
    if match is None or match is ... or (isinstance(match, type) and match is not Any):
        return 0
    if type(match) is tuple:
        for part in <tuple>match:
            check_pattern(part)
        return 0
    if PyFunction_Check(match):
        if (<object>PyFunction_GET_CODE(match)).co_flags & CO_COROUTINE:
            raise ConfigError(f"{match!r} is async: a pattern's function decides at once")
        return 0
    if type(match) is UnionType:
        for part in match.__args__:
            check_pattern(part)
    elif type(match) is GenericAlias or type(match).__module__ == "typing":
        raise ConfigError(f"{match!r} is no pattern: write a type, a union such as int | str, or ... for anything")
    return 0


cdef enum:
    DROP_NEW
    DROP_OLD
    REFUSE


cdef uint8_t policy_of(str policy) except 255:
    if policy == "drop_new":
        return DROP_NEW
    if policy == "drop_old":
        return DROP_OLD
    if policy == "refuse":
        return REFUSE
    raise ConfigError(f"a mailbox policy is 'drop_new', 'drop_old' or 'refuse', not {policy!r}")


cdef class Mailbox:
    """Messages in order of arrival, from which a message may be taken out of order.

    Args:
        bound: messages held at most; None for no bound.
        policy: what a full mailbox does: ``drop_new``, ``drop_old``, or ``refuse`` (raise ``MailboxFull``).
    """
    cdef Ring ring
    cdef readonly object bound
    cdef readonly str policy

    def __init__(self, bound=None, str policy not None="drop_new"):
        policy_of(policy)
        if bound is not None and (type(bound) is not int or bound < 1):
            raise ConfigError(f"a mailbox bound is an int of at least 1, not {bound!r}")
        self.bound = bound
        self.policy = policy

    def __dealloc__(self):
        ring_clear(&self.ring)

    def put(self, message):
        """Append ``message``; return False when a message was dropped for it, or it was itself dropped.

        Raises:
            MailboxFull: the policy is ``refuse`` and the bound is reached.
        """
        cdef bint full = self.bound is not None and self.ring.used - self.ring.holes >= <uint32_t>self.bound
        if full:
            if self.policy == "refuse":
                raise MailboxFull(None, self.bound)
            if self.policy == "drop_new":
                return False
            Py_XDECREF(ring_pop(&self.ring))
        ring_push(&self.ring, message)
        return not full

    def take(self):
        """Remove and return the first message; LookupError when there is none."""
        if self.ring.used == 0:
            raise LookupError("the mailbox is empty")
        cdef PyObject* message = ring_pop(&self.ring)
        taken = <object>message
        Py_DECREF(taken)
        return taken

    def take_match(self, match):
        """Remove and return the first message that ``match`` accepts: a type, a pattern or a predicate.

        Raises:
            LookupError: no message matches; the mailbox is as before.
        """
        cdef uint32_t position = 0
        cdef PyObject* message
        while position < self.ring.used:
            message = ring_at(&self.ring, position)
            if message != NULL:
                taken = <object>message             # held: the predicate may take it out
                if matches(match, taken):
                    if position < self.ring.used and ring_at(&self.ring, position) == message:
                        ring_take(&self.ring, position)
                        Py_DECREF(taken)
                        return taken
                    raise InternalError("a predicate changed the mailbox it was asked about")
            position += 1
        raise LookupError("no message matches")

    def clear(self):
        """Drop every message."""
        ring_clear(&self.ring)
        self.ring.used = self.ring.holes = 0

    def __len__(self):
        return self.ring.used - self.ring.holes

    def __iter__(self):
        cdef uint32_t position
        messages = []
        for position in range(self.ring.used):
            if ring_at(&self.ring, position) != NULL:
                messages.append(<object>ring_at(&self.ring, position))
        return iter(messages)
