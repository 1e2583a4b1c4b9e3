# A request and its future reply.

cdef class Runnable:
    """What the run queue and the timer wheel hold.

    Some flags of Process stand here, in bytes that would be padding: every process counts.
    """
    cdef Entry timer
    cdef uint8_t queued
    cdef uint8_t phase
    cdef uint8_t waiting            # for the mailbox
    cdef uint8_t timed_out
    cdef uint8_t stepping
    cdef uint8_t dying              # outcome holds the reason
    cdef uint8_t ended
    cdef uint8_t in_context

    cdef int run(self, Scheduler scheduler) except -1:
        return 0

    cdef int on_timer(self, Scheduler scheduler) except -1:
        return 0


cdef Py_ssize_t TIMER_OFFSET = 0        # of the entry in the object that it wakes


cdef inline object runnable_of(Entry* entry):
    return <object><PyObject*>(<char*>entry - TIMER_OFFSET)


cdef int find_timer_offset() except -1:
    global TIMER_OFFSET
    cdef Runnable runnable = Runnable()
    TIMER_OFFSET = <char*>&runnable.timer - <char*><PyObject*>runnable
    return 0


find_timer_offset()


cdef enum CallState:
    OPEN
    REPLIED
    FAILED
    CANCELLED


@cython.final
cdef class Call(Runnable):
    """A request that waits for its reply; for the server it is the caller, for the caller it is awaitable.

    It goes to the server's mailbox as it is, so a reply needs no search: whatever is queued, it finds its waiter. When
    the server ends first the call fails with ``ServerExited``; after a timeout a late reply finds nobody, and vanishes.
    A call of another node carries the link and the number under which the reply goes back.
    """
    __match_args__ = ("request",)
    cdef readonly str method
    cdef readonly object request
    cdef readonly dict keywords
    cdef Scheduler scheduler
    cdef object server              # what was called, for error messages
    cdef object value               # the reply, or the exception
    cdef object callback            # of a plain asyncio Task or gather
    cdef object context
    cdef list more                  # further (callback, context)
    cdef Process waiter             # a process that waits, woken through the run queue
    cdef Process holder             # the server that took it and has not replied yet
    cdef Call next_open
    cdef Call previous_open
    cdef Link link
    cdef uint64_t number
    cdef double timeout_s
    cdef uint8_t state
    cdef uint8_t incoming           # from another node: the reply is sent, not awaited
    cdef uint8_t unasked            # a promise: no server was asked
    cdef public bint _asyncio_future_blocking

    def __dealloc__(self):
        if self.timer.next != NULL:
            wheel_remove(&self.scheduler.wheel, &self.timer)

    # --- for the server
    cdef int reply_with(self, object value) except -1:
        if self.state == OPEN:
            if self.scheduler.copy_messages and not self.incoming:
                try:
                    value = copied(value)
                except ClusterError as error:       # as over a link: the caller is told, the server goes on
                    self.scheduler.tell("on_bad_reply", (self.server, error))
                    return self.fail_with(error)
            self.state = REPLIED
            self.value = value
            self.settle()
        return 0

    cdef int fail_with(self, object error) except -1:
        if self.state == OPEN:
            self.state = FAILED
            self.value = error
            self.settle()
        return 0

    def reply(self, value):
        """Send ``value`` to the caller; later replies to the same call are dropped, and reported."""
        if self.state == REPLIED:
            self.scheduler.tell("on_second_reply", (self, value))
            return
        self.reply_with(value)

    def fail(self, error not None):
        """Let the caller's await raise ``error``."""
        self.fail_with(error)

    @property
    def client(self):
        """Who waits for the reply: a Pid of this node, the name of another node, or None when nobody does."""
        if self.incoming:
            return None if self.link is None else self.link.node
        return None if self.waiter is None or not self.waiter.id else self.waiter.pid_of()

    cdef int settle(self) except -1:
        """The outcome is known: wake whoever waits."""
        cdef Process waiter
        if self.timer.next != NULL:
            wheel_remove(&self.scheduler.wheel, &self.timer)
        cdef uint64_t sender = running.id if running is not None else 0
        if self.holder is not None:
            sender = self.holder.id
            self.holder.forget_call(self)
        if self.link is not None:
            link = self.link
            self.link = None
            if self.incoming:
                link.send_outcome(sender, self)
                return 0
            link.calls.pop(self.number, None)
        if self.waiter is not None:
            waiter = self.waiter
            self.waiter = None
            waiter.waiting_for = None
            self.scheduler.enqueue(waiter)
        if self.callback is not None:
            self.scheduler.enqueue(self)
        return 0

    cdef int on_timer(self, Scheduler scheduler) except -1:
        return self.fail_with(CallTimeout(self.server, self.timeout_s))

    cdef int run(self, Scheduler scheduler) except -1:
        callback, context, more = self.callback, self.context, self.more
        self.callback = self.context = self.more = None
        scheduler.identify(None)
        if callback is not None:
            self.tell(callback, context)
        if more is not None:
            for callback, context in more:
                self.tell(callback, context)
        return 1

    cdef int tell(self, object callback, object context) except -1:
        try:
            if context is None or context is self.scheduler.context:    # where we are
                callback(self)
            else:
                context.run(callback, self)
        except Exception as error:
            self.scheduler.complain("a callback of a call raised", error)
        return 0

    # --- the future that the caller awaits
    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self.state == REPLIED:
            Py_INCREF(self.value)
            zc_stop_with(<PyObject*>self.value)
            raise StopIteration
        if self.state != OPEN:
            self.result()
        self._asyncio_future_blocking = True
        return self

    def get_loop(self):
        return self.scheduler.loop

    @property
    def _loop(self):
        return self.scheduler.loop

    def add_done_callback(self, callback, *, context=None):
        if self.state != OPEN:
            self.scheduler.loop.call_soon(callback, self, context=context)
        elif self.callback is None:
            self.callback = callback
            self.context = context
        elif self.more is None:
            self.more = [(callback, context)]
        else:
            self.more.append((callback, context))

    def remove_done_callback(self, callback):
        entries = [] if self.callback is None else [(self.callback, self.context), *(self.more or ())]
        kept = [entry for entry in entries if entry[0] != callback]
        self.callback, self.context = kept[0] if kept else (None, None)
        self.more = kept[1:] or None
        return len(entries) - len(kept)

    def done(self):
        return self.state != OPEN

    def cancelled(self):
        return self.state == CANCELLED

    def cancel(self, msg=None):
        if self.state != OPEN:
            return False
        self.state = CANCELLED
        self.value = CancelledError() if msg is None else CancelledError(msg)
        self.settle()
        return True

    def exception(self):
        if self.state == OPEN:
            raise InvalidStateError("the call has no outcome yet")
        if self.state == CANCELLED:
            raise self.value
        return self.value if self.state == FAILED else None

    def result(self):
        if self.state == REPLIED:
            return self.value
        if self.state == OPEN:
            raise InvalidStateError("the call has no outcome yet")
        raise self.value

    def __repr__(self):
        return f"Call({self.method or ''}{self.request!r})"
