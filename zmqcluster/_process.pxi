# The process: stepping, serving, ending, and the face it shows to asyncio.
#
#    COROUTINE   runs a coroutine to its end
#    SERVING     waits for messages and calls plain handlers with them
#    HANDLING    a server whose async handler has not finished: other messages wait
#    SLOW        a server on a path written in Python: starting, a Control result, stopping, crashing
#
# A process that is told to exit while it does not run is put in the run queue and unwound in its own turn; one that
# runs is unwound when its step ends. Only then do its names go, and after them EXIT and DOWN.

cdef enum Phase:
    COROUTINE
    SERVING
    HANDLING
    SLOW

cdef enum Attention:                # what serving looks out for besides the next message
    EXPECTING = 1                   # a handler's timeout_s: the next message but a system call ends it
    SUSPENDED = 2                   # only system calls are taken; the others wait in their order
    OBSERVED = 4                    # bonds.observer is told of each message and what came of it
    HIBERNATING = 8                 # it hibernates when no message came for bonds.idle_s

cdef Process running = None         # the process whose code runs now
cdef PyObject* taken_call = NULL    # the call whose plain handler runs now, and the server it belongs to: see caller()
cdef PyObject* taken_by = NULL

cdef uint32_t LONG_MAILBOX = 65536   # from here each doubling of an unbounded mailbox is an event
cdef int UNWIND_THROWS_MAX = 16     # a coroutine that swallows ProcessExit this often is closed instead


@cython.final
cdef class Bonds:
    """What most processes lack: links, monitors, names, callbacks; made when the first is needed."""
    cdef dict links                 # Pid -> None: a set that keeps its order, so that runs can be replayed
    cdef dict monitors              # Ref -> Pid or (name, node): what this process watches
    cdef dict watchers              # Ref -> Pid: who watches it
    cdef list names
    cdef list callbacks             # as a Task: (callback, context)
    cdef Pid parent                 # its exit stops a server
    cdef list aliases
    cdef dict dictionary
    cdef uint32_t bound             # messages the mailbox holds at most
    cdef uint32_t drops             # made by the policy drop_old
    cdef uint8_t policy
    cdef object label
    cdef object name                # as a Task
    cdef object observer            # observer("in", message, None), observer("out", message, what was returned)
    cdef double expected_s          # a handler's timeout_s
    cdef double idle_s              # the class' hibernate_after_s
    cdef int cancelling


@cython.final
cdef class Process(Runnable):
    """A mailbox and what reads it: a coroutine, or a server object with handlers. Looks like a Task to asyncio."""
    cdef Ring mailbox
    cdef Scheduler scheduler
    cdef readonly uint64_t id       # 0: a stand-in for a Task, not in the process table
    cdef object coroutine
    cdef object context             # None: the node's
    cdef object waiting_for         # the Call or future this process waits for
    cdef object thrown              # raised in the coroutine at its next step
    cdef object server
    cdef Behaviour behaviour
    cdef object handled             # the message whose handler has not finished
    cdef Call open_calls            # taken from the mailbox, not replied to yet
    cdef Bonds bonds
    cdef Receive receiver
    cdef object outcome             # result, exception or exit reason, see the flags
    cdef object __weakref__
    cdef uint32_t credit            # receives left in this step
    cdef uint8_t attention
    cdef uint8_t trapping
    cdef uint8_t failed             # outcome holds an exception
    cdef uint8_t was_cancelled
    cdef uint8_t bounded            # bonds.bound is the mailbox's
    cdef uint8_t hibernated
    cdef uint8_t must_cancel
    cdef uint8_t blocking
    cdef uint8_t held               # by so many full links: it does not run
    cdef uint8_t parked             # it was to run while it was held
    cdef uint8_t unheld             # no link ever holds it

    def __dealloc__(self):
        if self.timer.next != NULL:
            wheel_remove(&self.scheduler.wheel, &self.timer)
        ring_clear(&self.mailbox)

    cdef inline Bonds bond(self):
        if self.bonds is None:
            self.bonds = Bonds.__new__(Bonds)
        return self.bonds

    cdef inline Pid pid_of(self):
        return new_pid(self.scheduler.node, self.scheduler.incarnation, self.id)

    # --- the mailbox
    cdef inline int deliver(self, object message) except -1:
        if self.ended or self.dying:
            return 0
        if self.bounded and not self.make_room(message):
            return 0
        if self.mailbox.used == self.mailbox.capacity and self.mailbox.capacity >= LONG_MAILBOX:
            self.scheduler.tell("on_long_mailbox", (self.pid_of(), self.mailbox.used))
        ring_push(&self.mailbox, message)
        if self.waiting:
            self.waiting = 0
            self.scheduler.enqueue(self)
        return 0

    cdef int limit(self, object bound, str policy) except -1:
        if type(bound) is not int or not 1 <= bound <= 0x7FFFFFFF:
            raise ConfigError(f"a mailbox bound is an int of at least 1, not {bound!r}")
        self.bond()
        self.bonds.policy = policy_of(policy)
        self.bonds.bound = bound
        self.bounded = 1
        return 0

    cdef bint make_room(self, object message) except -1:
        """Whether a bounded mailbox takes ``message``. EXIT and DOWN always go in: losing one would hang somebody."""
        if self.mailbox.used - self.mailbox.holes < self.bonds.bound or type(message) is Exit or type(message) is Down:
            return True
        self.scheduler.dropped_messages += 1
        self.scheduler.tell("on_full_mailbox", (self.pid_of(), self.bonds.bound))
        if self.dying or self.ended:                # by the hook
            if type(message) is Call:
                (<Call>message).fail_with(ServerExited(self.pid_of(), self.outcome))
            return False
        if self.bonds.policy == DROP_OLD:
            self.drop_oldest()
            return True
        error = MailboxFull(self.pid_of(), self.bonds.bound)
        if type(message) is Call:
            (<Call>message).fail_with(error)
        elif self.bonds.policy == REFUSE:
            raise error
        return False

    cdef int drop_oldest(self) except -1:
        """Drop the first message that is neither EXIT nor DOWN."""
        cdef uint32_t position
        cdef PyObject* message
        for position in range(self.mailbox.used):
            message = ring_at(&self.mailbox, position)
            if message == NULL or type(<object>message) is Exit or type(<object>message) is Down:
                continue
            dropped = <object>ring_take(&self.mailbox, position)
            Py_DECREF(dropped)
            self.bonds.drops += 1
            if type(dropped) is Call:
                (<Call>dropped).fail_with(MailboxFull(self.pid_of(), self.bonds.bound))
            break
        return 0

    cdef object memory_bytes(self):
        """What the process itself takes, without the values it refers to."""
        return sizeof(PyObject) * 2 + type(self).__basicsize__ + self.mailbox.capacity * sizeof(PyObject*)

    cdef int on_timer(self, Scheduler scheduler) except -1:
        self.timed_out = 1                          # also of one that a message has just woken: it may not want that
        if self.waiting:
            self.waiting = 0
            scheduler.enqueue(self)
        return 0

    cdef int run(self, Scheduler scheduler) except -1:
        if self.ended or self.stepping:             # stepping: its own code has made the scheduler drain
            return 1
        if self.dying:
            return self.finish()
        if self.held:
            self.parked = 1
            return 1
        if self.phase == SERVING:
            return self.serve(scheduler)
        return self.step(scheduler)

    cdef int finish(self) except -1:
        try:
            self.unwind()
        finally:
            self.end(self.outcome)
        return 4

    # --- a server's messages
    cdef int serve(self, Scheduler scheduler) except -1:
        global running
        cdef uint32_t count = 0
        cdef PyObject* message
        cdef Process outer = running
        scheduler.identify(self)
        running = self
        self.waiting = 0
        self.stepping = 1
        try:
            if self.timed_out:
                self.time_out(scheduler)
            while self.mailbox.used and count < scheduler.server_messages_max and self.phase == SERVING:
                if self.attention:
                    message = self.take_attentively(scheduler)
                    if message == NULL:
                        break
                else:
                    message = ring_pop(&self.mailbox)
                taken = <object>message
                Py_DECREF(taken)
                count += 1
                self.hibernated = 0
                self.handle(scheduler, taken)
                if self.dying or self.ended or self.held:
                    break
        except Exception as error:
            scheduler.complain(f"{self!r} lost a message", error)
        finally:
            self.stepping = 0
            running = outer
        self.rest(scheduler)
        return count + 1

    cdef int rest(self, Scheduler scheduler) except -1:
        """Between two messages: continue in a later turn, or wait for the mailbox."""
        if self.ended:
            return 0
        if self.dying:
            scheduler.enqueue(self)
        elif self.phase == SERVING:
            if self.attention & SUSPENDED:
                ready = self.find_system() >= 0
            else:
                ready = self.mailbox.used > 0
                if not ready and self.attention & (EXPECTING | HIBERNATING) and self.timer.next == NULL:
                    ready = self.arm_idle(scheduler)
            if ready:
                scheduler.enqueue(self)
            else:
                self.waiting = 1
        return 0

    cdef bint arm_idle(self, Scheduler scheduler) except -1:
        """Nothing is queued: start a handler's timeout_s, else the time after which to hibernate. True: it is over."""
        if self.attention & EXPECTING:
            if self.bonds.expected_s > 0:
                scheduler.arm(self, self.bonds.expected_s)
                return False
            self.timed_out = 1
            return True
        if not self.hibernated:
            if self.bonds.idle_s > 0:
                scheduler.arm(self, self.bonds.idle_s)
            else:
                self.sleep()
        return False

    cdef int sleep(self) except -1:
        """Give back the mailbox' memory, unless something is in it; the next message wakes the process."""
        if self.mailbox.used == 0:
            ring_clear(&self.mailbox)
            self.hibernated = 1
        return 0

    # A suspended server, one that expects a message, one that hibernates and one that is observed pay for it here; the
    # others pay one comparison. System calls are those with a method named "$...", which no user's method is, and the
    # end of the parent. They are taken out of the mailbox past whatever waits there, disturb no timeout_s and are not
    # observed.
    cdef bint is_system(self, object message) except -1:
        if type(message) is Call:
            return (<Call>message).method is not None and (<str>(<Call>message).method).startswith("$")
        return type(message) is Exit and self.bonds is not None and self.bonds.parent == (<Exit>message).pid

    cdef int64_t find_system(self) except -2:
        """The position of the first system call in the mailbox, or -1."""
        cdef uint32_t position
        cdef PyObject* message
        for position in range(self.mailbox.used):
            message = ring_at(&self.mailbox, position)
            if message != NULL and self.is_system(<object>message):
                return position
        return -1

    cdef PyObject* take_attentively(self, Scheduler scheduler) except? NULL:
        """Take the first message that may be handled now; NULL when there is none."""
        cdef int64_t position = self.find_system() if self.attention & SUSPENDED else 0
        cdef PyObject* message
        if position < 0:
            return NULL
        message = ring_take(&self.mailbox, <uint32_t>position)
        if self.attention & (EXPECTING | HIBERNATING):
            self.stop_expecting(scheduler, not self.is_system(<object>message))
        return message

    cdef int stop_expecting(self, Scheduler scheduler, bint for_good) except -1:
        """A message came. After it ``rest`` starts the idle time again, and after a system call the same timeout_s."""
        if self.timer.next != NULL:
            wheel_remove(&scheduler.wheel, &self.timer)
        self.timed_out = 0
        if for_good:
            self.attention &= ~EXPECTING
        return 0

    cdef int time_out(self, Scheduler scheduler) except -1:
        self.timed_out = 0
        if self.mailbox.used:
            return 0
        if self.attention & EXPECTING:
            self.attention &= ~EXPECTING
            self.hibernated = 0
            self.handle(scheduler, TIMEOUT)
        elif self.attention & HIBERNATING and not self.attention & SUSPENDED:
            self.sleep()
        return 0

    cdef int observe(self, str direction, object message, object value) except -1:
        global running
        cdef Process outer = running
        if self.is_system(message):
            return 0
        running = self                              # an async handler returns outside of serve
        try:
            self.bonds.observer(direction, message, value)
        except Exception as error:                  # as with sys: what fails to observe is taken off
            self.attention &= ~OBSERVED
            self.scheduler.complain("zmqcluster: an observer failed and was taken off", error)
        finally:
            running = outer
        return 0

    cdef int handle(self, Scheduler scheduler, object message) except -1:
        """Give one message to its handler, and see to what the handler returns."""
        global taken_call, taken_by
        cdef PyObject* result = NULL
        cdef PyObject* outer_call = taken_call
        cdef PyObject* outer_by = taken_by
        cdef Behaviour behaviour = self.behaviour
        try:
            if self.attention & OBSERVED:
                self.observe("in", message, None)
            if type(message) is Call:               # handled whether anybody still waits or not
                taken_call, taken_by = <PyObject*>message, <PyObject*>self
                if (<Call>message).method is None:
                    result = invoke(behaviour.handle_call, self.server, (<Call>message).request, message)
                else:
                    function = behaviour.calls.get((<Call>message).method)
                    if function is None:
                        taken_call, taken_by = outer_call, outer_by
                        (<Call>message).fail_with(NoSuchMethod(behaviour.name, "call", (<Call>message).method))
                        return 0
                    result = invoke_with(function, self.server, (<Call>message).request, (<Call>message).keywords)
            elif type(message) is Cast:
                if (<Cast>message).method is None:
                    result = invoke(behaviour.handle_cast, self.server, (<Cast>message).request, None)
                else:
                    function = behaviour.casts.get((<Cast>message).method)
                    if function is None:
                        scheduler.tell("on_no_such_cast", (behaviour.name, (<Cast>message).method))
                        return 0
                    result = invoke_with(function, self.server, (<Cast>message).request, (<Cast>message).keywords)
            elif type(message) is Exit and self.bonds is not None and self.bonds.parent == (<Exit>message).pid:
                self.take_path(behaviour.stopping(self.server, (<Exit>message).reason), message)
                return 0
            else:
                result = invoke(behaviour.handle_info, self.server, message, None)
        except BaseException as error:
            taken_call, taken_by = outer_call, outer_by
            self.crash(message, error)
            return 0
        taken_call, taken_by = outer_call, outer_by
        value = <object>result
        Py_DECREF(value)
        if self.dying:                              # by its own exit signal, even if the handler caught that
            self.handled = message
            if PyCoro_CheckExact(value):
                value.close()
            return 0
        return self.handled_with(message, value)

    cdef int handled_with(self, object message, object value) except -1:
        if PyCoro_CheckExact(value):
            self.handled = message
            self.coroutine = value
            self.phase = HANDLING
            if self.context is None:
                self.context = PyContext_Copy(self.scheduler.context)
            self.step(self.scheduler)
            return 0
        if self.attention & OBSERVED:
            self.observe("out", message, value)
        if isinstance(value, Control):
            if type(value) is NoReply and (<NoReply>value).timeout_s is None:
                if type(message) is Call:
                    self.hold_call(<Call>message)
            else:
                self.take_path(self.behaviour.controlled(self.server, message, value), message)
        elif type(message) is Call:
            (<Call>message).reply_with(value)
        return 0

    cdef int take_path(self, object coroutine, object message) except -1:
        """Run ``coroutine`` on behalf of the server, before any other message."""
        self.handled = message
        self.coroutine = coroutine
        self.phase = SLOW
        return self.step(self.scheduler)

    cdef int crash(self, object message, object error) except -1:
        if self.phase == SLOW:                      # a path of the framework ends the server, it does not recover
            if type(error) is ProcessExit:
                self.die(error.reason)
            else:
                self.die(self.scheduler.crash_reason(self, error))
            return 0
        if self.dying:                              # a signal to itself: no terminate, as for any other signal
            self.handled = message
            return 0
        if type(error) is Refusal and type(message) is Call:
            return (<Call>message).fail_with(error.error)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.die(Shutdown(type(error).__name__))
            self.scheduler.tell("on_interrupt", (error,))
            return 0
        return self.take_path(self.behaviour.crashed(self.server, message, error), message)

    cdef int path_ended(self, object value) except -1:
        """An async handler or a slow path returned."""
        message = self.handled
        self.handled = None
        self.coroutine = None
        if self.phase == HANDLING:
            self.phase = SERVING
            self.handled_with(message, value)
        else:
            self.phase = SERVING
            if type(message) is Call:
                self.hold_call(<Call>message)
        if not self.stepping:
            self.rest(self.scheduler)
        return 0

    cdef int hold_call(self, Call call) except -1:
        """Remember a call that is taken and not replied to, so that our end fails it."""
        if call.state != OPEN or call.holder is not None:
            return 0
        call.holder = self
        call.next_open = self.open_calls
        if self.open_calls is not None:
            self.open_calls.previous_open = call
        self.open_calls = call
        return 0

    cdef int forget_call(self, Call call) except -1:
        if call.previous_open is not None:
            call.previous_open.next_open = call.next_open
        else:
            self.open_calls = call.next_open
        if call.next_open is not None:
            call.next_open.previous_open = call.previous_open
        call.next_open = None
        call.previous_open = None
        call.holder = None
        return 0

    # --- stepping a coroutine
    cdef int step(self, Scheduler scheduler) except -1:
        """Run the coroutine until it waits or ends. Returns the work done, in messages."""
        global running
        cdef PyObject* yielded = NULL
        cdef PySendResult status
        cdef Process outer = running
        cdef object outer_identity = scheduler.identity
        cdef uint8_t outer_stepping = self.stepping
        cdef uint32_t spent
        if self.waiting_for is not None and self.thrown is None:
            return 1                                # woken for the mailbox while it waits for something else
        context = self.context if not self.in_context else None
        if context is not None:
            PyContext_Enter(context)
        scheduler.identify(self)
        running = self
        self.waiting = 0
        self.stepping = 1
        self.credit = scheduler.receives_max
        if self.phase == COROUTINE:
            self.hibernated = 0
        error = None
        value = None
        try:
            if self.thrown is None:
                status = PyIter_Send(<PyObject*>self.coroutine, Py_None, &yielded)
                if status == PYGEN_ERROR:
                    reraise()
                value = <object>yielded
                Py_DECREF(value)
            else:
                if self.timer.next != NULL:
                    wheel_remove(&scheduler.wheel, &self.timer)
                self.timed_out = 0
                thrown = self.thrown
                self.thrown = None
                self.waiting_for = None             # a future that would not be cancelled
                self.must_cancel = 0
                value = self.coroutine.throw(thrown)
                status = PYGEN_NEXT
        except StopIteration as stop:
            value = stop.value
            status = PYGEN_RETURN
        except BaseException as raised:
            error = raised
            status = PYGEN_ERROR
        finally:
            if context is not None:
                PyContext_Exit(context)
            self.stepping = outer_stepping
            running = outer
            if outer is not None:
                scheduler.identify(outer_identity)
        spent = scheduler.receives_max + 1 - self.credit
        if self.dying and status != PYGEN_NEXT:     # told to exit while it ran: its own end comes too late
            self.coroutine = None
            status = PYGEN_NEXT
            value = self
            self.coroutine = None
        if status == PYGEN_NEXT:
            self.wait_for(scheduler, value)
        elif status == PYGEN_RETURN:
            self.returned(value)
        else:
            self.raised(error)
        return spent

    cdef int wait_for(self, Scheduler scheduler, object yielded) except -1:
        """The coroutine yielded what it waits for."""
        cdef Call call
        if self.dying:
            scheduler.enqueue(self)
        elif yielded is self:                       # the mailbox
            if self.blocking:
                self.refuse_itself()
            if self.thrown is not None:
                scheduler.enqueue(self)
        elif type(yielded) is Call and (<Call>yielded).waiter is None:
            call = <Call>yielded
            call._asyncio_future_blocking = False
            if call.state != OPEN:
                scheduler.enqueue(self)
                return 0
            call.waiter = self
            self.waiting_for = call
            if self.must_cancel:
                self.must_cancel = 0
                self.thrown = None
                call.cancel()
        elif yielded is None:                       # asyncio.sleep(0): one iteration of the loop
            scheduler.loop.call_soon(self.step_in_context, context=self.get_context())
        else:
            self.wait_for_another(scheduler, yielded)
        return 0

    cdef int refuse_itself(self) except -1:
        self.blocking = 0
        self.thrown = RuntimeError(f"{self!r} cannot await itself")
        return 0

    cdef int wait_for_another(self, Scheduler scheduler, object yielded) except -1:
        try:
            self.wait_for_future(scheduler, yielded)
        except Exception as error:                  # a future of somebody's own making
            self.waiting_for = None
            self.thrown = error
            scheduler.enqueue(self)
        return 0

    cdef int wait_for_future(self, Scheduler scheduler, object future) except -1:
        blocking = getattr(future, "_asyncio_future_blocking", None)
        problem = None
        if blocking is None:
            problem = f"Process got bad yield: {future!r}"
        elif asyncio.futures._get_loop(future) is not scheduler.loop:
            problem = f"Process {self!r} got Future {future!r} attached to a different loop"
        elif not blocking:
            problem = f"yield was used instead of yield from in process {self!r} with {future!r}"
        if problem is not None:
            self.thrown = RuntimeError(problem)
            scheduler.enqueue(self)
            return 0
        future._asyncio_future_blocking = False
        self.waiting_for = future
        future.add_done_callback(self.wakeup, context=self.get_context())
        if self.must_cancel:
            if future.cancel(msg=self.thrown.args[0] if self.thrown.args else None):
                self.must_cancel = 0
                self.thrown = None
        return 0

    def wakeup(self, future):
        """A future we wait for is done; we are in a callback of the loop, in our own context: step at once."""
        if future is not self.waiting_for:
            return
        self.waiting_for = None
        try:
            future.result()
        except BaseException as error:
            if self.thrown is None:
                self.thrown = error
        self.step_in_context()

    def step_in_context(self):
        if self.ended or self.stepping or self.waiting_for is not None:
            return
        if self.dying:
            self.scheduler.enqueue(self)
            return
        if self.held:
            self.parked = 1
            return
        self.in_context = 1
        try:
            self.step(self.scheduler)
        finally:
            self.in_context = 0
            self.scheduler.identify(None)

    cdef int returned(self, object value) except -1:
        if self.phase != COROUTINE:
            return self.path_ended(value)
        if self.must_cancel:
            self.was_cancelled = 1
            return self.end_as_task(self.thrown, Shutdown("cancelled"), 1)
        return self.end_as_task(value, Normal(), 0)

    cdef int raised(self, object error) except -1:
        if self.phase == HANDLING:
            message = self.handled
            self.coroutine = None
            self.phase = SERVING
            self.crash(message, error)
            if not self.stepping:
                self.rest(self.scheduler)
            return 0
        if self.phase == SLOW:
            self.coroutine = None
            return self.crash(self.handled, error)
        if isinstance(error, CancelledError):
            self.was_cancelled = 1
            self.end_as_task(error, Shutdown("cancelled"), 1)
        elif type(error) is ProcessExit:
            self.end_as_task(error, error.reason, 1)
        else:
            reason = Normal() if self.id == 0 else self.scheduler.crash_reason(self, error)
            self.end_as_task(error, reason, 1)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise error
        return 0

    cdef int end_as_task(self, object outcome, object reason, uint8_t failed) except -1:
        self.coroutine = None
        self.end(reason)
        self.outcome = outcome
        self.failed = failed
        return 0

    # --- the end
    cdef int die(self, object reason) except -1:
        """End with ``reason`` as soon as the process is not running."""
        if self.dying or self.ended:
            return 0
        self.dying = 1
        self.outcome = reason
        self.waiting = 0
        self.scheduler.enqueue(self)
        return 0

    cdef int unwind(self) except -1:
        """Raise ProcessExit in the coroutine so that it frees what it holds; it cannot stay alive by catching it."""
        global running
        cdef Process outer = running
        cdef int throws = 0
        self.stop_waiting()
        if self.coroutine is None:
            return 0
        coroutine, self.coroutine = self.coroutine, None
        context = self.context
        if context is not None:
            PyContext_Enter(context)
        running = self
        self.stepping = 1
        try:
            while throws < UNWIND_THROWS_MAX:
                throws += 1
                coroutine.throw(ProcessExit(self.outcome))
            coroutine.close()
        except (ProcessExit, StopIteration, CancelledError):
            pass
        except BaseException as error:
            self.scheduler.tell("on_unwind_error", (self, error))
            if getattr(coroutine, "cr_frame", None) is not None:
                Py_INCREF(coroutine)                # it ignores everything: to free it would run it again, for ever
        finally:
            if context is not None:
                PyContext_Exit(context)
            self.stepping = 0
            running = outer
        return 0

    cdef int stop_waiting(self) except -1:
        cdef Call call
        waiting_for, self.waiting_for = self.waiting_for, None
        if type(waiting_for) is Call and (<Call>waiting_for).waiter is self:
            call = <Call>waiting_for
            call.waiter = None
            call.cancel()
        elif waiting_for is not None:
            try:
                waiting_for.remove_done_callback(self.wakeup)
                waiting_for.cancel()
            except Exception as error:
                self.scheduler.complain(f"{waiting_for!r} cannot be cancelled", error)
        return 0

    cdef int end(self, object reason) except -1:
        """Leave the tables, fail who waits for a reply, then tell links and monitors, in this order."""
        cdef Bonds bonds = self.bonds
        if self.ended:
            return 0
        self.ended = 1
        self.outcome = reason
        self.waiting = 0
        if self.timer.next != NULL:
            wheel_remove(&self.scheduler.wheel, &self.timer)
        if self.id:
            self.scheduler.leave_table(self)
        try:
            self.fail_callers(reason)
        except Exception as error:
            self.scheduler.complain("zmqcluster: a caller was not told of an end", error)
        ring_clear(&self.mailbox)
        self.coroutine = self.server = self.behaviour = self.receiver = None
        if bonds is not None:
            self.scheduler.tell_bonds(self, bonds, reason)
            if bonds.callbacks is not None:
                callbacks, bonds.callbacks = bonds.callbacks, None
                for callback, context in callbacks:
                    self.scheduler.loop.call_soon(callback, self, context=context)
        return 0

    cdef int fail_callers(self, object reason) except -1:
        cdef PyObject* message
        cdef Call call
        handled, self.handled = self.handled, None
        if type(handled) is Call:
            (<Call>handled).fail_with(ServerExited(self.pid_of(), reason))
        while self.open_calls is not None:
            call = self.open_calls                  # of a call of another node this may be the last reference
            call.fail_with(ServerExited(self.pid_of(), reason))
        while self.mailbox.used:
            message = ring_pop(&self.mailbox)
            left = <object>message
            Py_DECREF(left)
            if type(left) is Call:
                (<Call>left).fail_with(ServerExited(self.pid_of(), reason))
        return 0

    # --- the face of a Task
    def __repr__(self):
        if self.id:
            return f"<Process {self.pid_of()!r}>"
        return f"<Process {self._state.lower()} name={self.get_name()!r} coro={self.coroutine!r}>"

    def __await__(self):
        cdef Outcome outcome = Outcome.__new__(Outcome)
        outcome.process = self
        return outcome

    __iter__ = __await__

    def get_loop(self):
        return self.scheduler.loop

    @property
    def _loop(self):
        return self.scheduler.loop

    @property
    def _asyncio_future_blocking(self):
        return bool(self.blocking)

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, value):
        self.blocking = 1 if value else 0

    def get_coro(self):
        return self.coroutine

    @property
    def _coro(self):
        return self.coroutine

    def get_context(self):
        return self.context if self.context is not None else self.scheduler.context

    def get_name(self):
        name = None if self.bonds is None else self.bonds.name
        return f"Process-{self.id}" if name is None else name

    def set_name(self, value):
        self.bond().name = str(value)

    def done(self):
        return bool(self.ended)

    def cancelled(self):
        return bool(self.was_cancelled)

    def cancelling(self):
        return 0 if self.bonds is None else self.bonds.cancelling

    def uncancel(self):
        if self.bonds is not None and self.bonds.cancelling > 0:
            self.bonds.cancelling -= 1
            if self.bonds.cancelling == 0:
                self.must_cancel = 0
                if type(self.thrown) is CancelledError:
                    self.thrown = None
        return self.cancelling()

    def cancel(self, msg=None):
        if self.ended:
            return False
        self.bond()
        self.bonds.cancelling += 1
        if self.waiting_for is not None and self.waiting_for.cancel(msg=msg):
            return True
        self.must_cancel = 1
        self.thrown = CancelledError() if msg is None else CancelledError(msg)
        if not self.stepping:
            self.scheduler.enqueue(self)
        return True

    def result(self):
        if not self.ended:
            raise InvalidStateError("Result is not ready.")
        if self.failed:
            raise self.outcome
        return self.outcome

    def exception(self):
        if not self.ended:
            raise InvalidStateError("Exception is not set.")
        if self.was_cancelled:
            raise self.outcome
        return self.outcome if self.failed else None

    def add_done_callback(self, callback, *, context=None):
        if context is None:
            context = contextvars.copy_context()
        if self.ended:
            self.scheduler.loop.call_soon(callback, self, context=context)
        elif self.bond().callbacks is None:
            self.bonds.callbacks = [(callback, context)]
        else:
            self.bonds.callbacks.append((callback, context))

    def remove_done_callback(self, callback):
        if self.bonds is None or self.bonds.callbacks is None:
            return 0
        kept = [entry for entry in self.bonds.callbacks if entry[0] != callback]
        removed = len(self.bonds.callbacks) - len(kept)
        self.bonds.callbacks = kept
        return removed

    @property
    def _callbacks(self):
        return None if self.bonds is None else self.bonds.callbacks

    @property
    def _must_cancel(self):
        return bool(self.must_cancel)

    @property
    def _cancel_message(self):
        return self.outcome.args[0] if self.was_cancelled and self.outcome.args else None

    @property
    def _source_traceback(self):
        return None

    @property
    def _log_traceback(self):
        return False

    @_log_traceback.setter
    def _log_traceback(self, value):
        pass

    @property
    def _log_destroy_pending(self):
        return False

    @_log_destroy_pending.setter
    def _log_destroy_pending(self, value):
        pass

    @property
    def _state(self):
        return "CANCELLED" if self.was_cancelled else "FINISHED" if self.ended else "PENDING"

    @property
    def _fut_waiter(self):
        return self.waiting_for

    @property
    def _exception(self):
        return self.outcome if self.failed else None

    def _make_cancelled_error(self):
        return self.outcome if self.was_cancelled else CancelledError()

    def get_stack(self, *, limit=None):
        return asyncio.base_tasks._task_get_stack(self, limit)

    def print_stack(self, *, limit=None, file=None):
        return asyncio.base_tasks._task_print_stack(self, limit, file)


cdef int reraise() except -1:
    return -1


cdef PyObject* invoke(object function, object server, object first, object second) except NULL:
    """Call handler(server, first) or handler(server, first, second)."""
    cdef PyObject* arguments[3]
    arguments[0] = <PyObject*>server
    arguments[1] = <PyObject*>first
    arguments[2] = <PyObject*>second
    return PyObject_Vectorcall(<PyObject*>function, arguments, 2 if second is None else 3, NULL)


cdef PyObject* invoke_with(object function, object server, object positional, dict keywords) except NULL:
    """Call a typed method: function(server, *positional, **keywords)."""
    cdef PyObject* arguments[7]
    cdef Py_ssize_t count = len(<tuple>positional)
    cdef Py_ssize_t position
    if keywords is None and count < 7:
        arguments[0] = <PyObject*>server
        for position in range(count):
            arguments[position + 1] = PyTuple_GET_ITEM(positional, position)
        return PyObject_Vectorcall(<PyObject*>function, arguments, count + 1, NULL)
    full = (server, *positional)
    return PyObject_Call(<PyObject*>function, <PyObject*>full, NULL if keywords is None else <PyObject*>keywords)
