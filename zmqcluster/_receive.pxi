# What ``await receive(...)`` waits on. Yielding the process itself tells its driver: wait for the mailbox.

@cython.final
@cython.freelist(64)
cdef class Receive:
    """The next message, whatever it is; one object per process, made on first use."""
    cdef Process process

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        cdef Process process = self.process
        if running is not process:
            raise NotInProcess("receive()")
        if process.mailbox.used:
            if process.credit:
                process.credit -= 1
                zc_stop_with(ring_pop(&process.mailbox))
                raise StopIteration
            process.scheduler.enqueue(process)      # its share of this turn is used up
            return process
        process.waiting = 1
        return process


@cython.final
@cython.freelist(64)
cdef class SelectiveReceive:
    """The first message that matches, or TimeoutError; what does not match keeps its place."""
    cdef Process process
    cdef object match
    cdef double timeout_s       # negative: wait for ever
    cdef uint32_t position      # slots looked at so far
    cdef uint32_t drops         # of a bounded mailbox, when it was looked at
    cdef uint8_t armed

    def __await__(self):
        return self

    def __iter__(self):
        return self

    cdef PyObject* find(self) except? NULL:
        """Take the first match; NULL without an exception when there is none yet."""
        cdef Ring* ring = &self.process.mailbox
        cdef PyObject* message
        cdef uint32_t head
        if self.process.bounded and self.drops != self.process.bonds.drops:
            self.drops = self.process.bonds.drops
            self.position = 0                       # what was dropped has moved the others
        while self.position < ring.used:
            message = ring_at(ring, self.position)
            if message != NULL:
                if self.match is None:
                    return ring_take(ring, self.position)
                head = ring.head
                held = <object>message
                found = matches(self.match, held)
                if ring.head != head or self.position >= ring.used or ring_at(ring, self.position) != message:
                    self.position = 0               # the predicate has changed the mailbox: ask again
                    continue
                if found:
                    return ring_take(ring, self.position)
            self.position += 1
        return NULL

    def __next__(self):
        cdef Process process = self.process
        cdef PyObject* message
        if running is not process:
            raise NotInProcess("receive()")
        try:
            message = self.find()
        except BaseException:                       # of the predicate
            wheel_remove(&process.scheduler.wheel, &process.timer)
            process.timed_out = 0
            raise
        if message != NULL:
            wheel_remove(&process.scheduler.wheel, &process.timer)
            process.timed_out = 0
            zc_stop_with(message)
            raise StopIteration
        if process.timed_out or self.timeout_s == 0:
            process.timed_out = 0
            raise TimeoutError(f"no matching message within {self.timeout_s} s")
        if self.timeout_s > 0 and not self.armed:
            self.armed = 1
            process.scheduler.arm(process, self.timeout_s)
        process.waiting = 1
        return process


@cython.final
cdef class Outcome:
    """``await process``: its result, as for a Task."""
    cdef Process process

    def __iter__(self):
        return self

    def __next__(self):
        cdef Process process = self.process
        if process.ended:
            value = process.result()
            Py_INCREF(value)
            zc_stop_with(<PyObject*>value)
            raise StopIteration
        process.blocking = 1
        return process

    def send(self, value):
        return self.__next__()
