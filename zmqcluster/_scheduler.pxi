# The scheduler of one node: run queue, timers, process table, names, and the signals between processes.
#
# A process id is (generation << 32) | slot. The table is an array indexed by slot, so finding a process is one load and
# one compare, and the id of a process that ended never finds its successor in the slot.

cdef object _enter_task = asyncio.tasks._enter_task
cdef object _leave_task = asyncio.tasks._leave_task
cdef object _register_task = asyncio.tasks._register_task
cdef object _current_tasks = None
if sys.version_info < (3, 14):
    from _asyncio import _current_tasks         # one dict store per switch; 3.14 has only the pair of calls

cdef object SCHEDULER = contextvars.ContextVar("zmqcluster.scheduler")

cdef enum AliasEnd:                 # besides unalias and the end of its process
    WITH_MONITOR = 1                # demonitor, or the Down of the monitor whose ref it is
    WITH_REPLY = 2                  # the first message

cdef uint32_t VIRTUAL_TURN_MAX = 4096           # messages in a turn of a virtual-time loop, where a clock says nothing


cdef inline uint64_t monotonic_ns() noexcept:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1000000000ULL + <uint64_t>now.tv_nsec


ctypedef uint64_t Slot
# A slot in use is an owned pointer to its process. A free one is (generation << 32) | (next free slot << 1) | 1:
# pointers are even, so the last bit tells. The generation of a slot in use stands in its process' id.

cdef inline bint is_free(Slot slot) noexcept:
    return slot & 1


cdef inline Slot free_slot(uint64_t generation, uint64_t next_free) noexcept:
    return generation << 32 | next_free << 1 | 1


cdef inline bint is_pair(object dest) noexcept:
    return type(dest) is tuple and len(<tuple>dest) == 2


@cython.final
cdef class SendAfter(Runnable):
    """A message that goes out later."""
    cdef Scheduler scheduler
    cdef object dest
    cdef object message
    cdef readonly Ref ref

    def __dealloc__(self):
        if self.timer.next != NULL:
            wheel_remove(&self.scheduler.wheel, &self.timer)

    cdef int on_timer(self, Scheduler scheduler) except -1:
        scheduler.timers.pop(self.ref, None)
        scheduler.send_if_known(self.dest, self.message)
        return 0


@cython.final
cdef class Scheduler(Inlet):
    """Drives the processes of one node on one event loop.

    Args:
        loop: the event loop; all calls come from its thread.
        node: the node's full name.
        incarnation: of this start of the node.
        hooks: what the layers above do; see runtime/hooks.py.
        virtual: the loop's time is not real time; turns are then limited by count.
    """
    cdef readonly object loop
    cdef readonly str node
    cdef readonly uint64_t incarnation
    cdef public object hooks
    cdef public object owner            # the runtime's Node
    cdef public object shelf            # what the layers above keep per node
    cdef readonly object context        # plain handlers run in it
    cdef readonly uint64_t turns
    cdef readonly uint64_t foreign_frames
    cdef readonly uint64_t dropped_messages
    cdef object call_soon
    cdef object drain_callback
    cdef object identity                # what asyncio.current_task() answers
    cdef Ring ready
    cdef uint8_t scheduled
    cdef readonly bint virtual
    cdef public bint copy_messages      # through the codec, as if every process were on another node
    cdef public object birth_observer   # called with the Pid of each process and the Ref of each timer that starts
    cdef uint64_t turn_ns_max
    cdef uint32_t server_messages_max
    cdef uint32_t receives_max
    cdef Wheel wheel
    cdef object tick_handle
    cdef uint64_t tick_due
    cdef uint64_t started_ns
    cdef dict timers                    # Ref -> SendAfter
    cdef Slot* slots
    cdef uint32_t slots_count
    cdef uint32_t first_free
    cdef readonly uint32_t process_count
    cdef dict names                     # str -> Process
    cdef dict aliases                   # Ref -> (Process, what ends it: see AliasEnd)
    cdef uint64_t next_ref
    cdef dict links                     # node -> Link
    cdef dict epochs                    # session epoch -> Link
    cdef list dirty                     # links with something to send
    cdef object away                    # the other node that was sent to last, as the very str that named it,
    cdef Link link_away                 # and its link

    def __cinit__(self, loop, str node not None="nonode@nohost", uint64_t incarnation=0, hooks=None, *,
                  bint virtual=False):
        self.loop = loop
        self.node = node
        self.incarnation = incarnation
        self.hooks = hooks
        self.virtual = virtual
        self.context = contextvars.copy_context()
        self.context.run(SCHEDULER.set, self)
        self.call_soon = loop.call_soon
        self.drain_callback = self.drain
        self.turn_ns_max = constants.TURN_NS_MAX
        self.server_messages_max = constants.SERVER_MESSAGES_MAX
        self.receives_max = constants.RECEIVES_MAX
        self.started_ns = self.clock_ns()
        wheel_reset(&self.wheel, 0)
        self.timers = {}
        self.names = {}
        self.aliases = {}
        self.links = {}
        self.epochs = {}
        self.dirty = []
        self.shelf = {}

    def __dealloc__(self):
        ring_clear(&self.ready)
        self.free_table()

    # --- the run queue
    cdef inline int enqueue(self, Runnable runnable) except -1:
        if runnable.queued:
            return 0
        runnable.queued = 1
        ring_push(&self.ready, runnable)
        if not self.scheduled:
            self.scheduled = 1
            self.call_soon(self.drain_callback, context=self.context)
        return 0

    def drain(self):
        """Run what is ready for one turn, then send what it has written to the links.

        A process may bring this about while it runs, by closing its node for example; then all others get their turn.
        """
        global running
        cdef Process outer = running
        cdef object outer_identity = None if outer is None else outer.scheduler.identity
        self.turns += 1
        if outer is not None:
            outer.scheduler.identify(None)
            running = None
        try:
            self.run_ready()
        finally:
            self.identify(None)
            zc_stop_forget()
            if outer is not None:
                running = outer
                outer.scheduler.identify(outer_identity)
            if self.dirty:
                self.flush_links()
            if self.ready.used:
                self.call_soon(self.drain_callback, context=self.context)
            else:
                self.scheduled = 0

    cdef int run_ready(self) except -1:
        """What goes wrong with one that is ready is told to the loop; the others run."""
        cdef uint64_t began_ns = 0 if self.virtual else monotonic_ns()
        cdef uint32_t total = 0
        while self.ready.used:
            try:
                if self.run_some(began_ns, &total):
                    break
            except Exception as error:
                total += 64
                self.complain("zmqcluster: a step of a process failed", error)
        return 0

    cdef int run_some(self, uint64_t began_ns, uint32_t* total) except -1:
        """Returns 1 when the turn is over."""
        cdef Runnable runnable
        cdef uint32_t work = 0
        while self.ready.used:
            taken = <object>ring_pop(&self.ready)
            Py_DECREF(taken)
            runnable = <Runnable>taken
            runnable.queued = 0
            work += runnable.run(self)
            if work >= 64:
                total[0] += work
                work = 0
                if total[0] > VIRTUAL_TURN_MAX if self.virtual else monotonic_ns() - began_ns > self.turn_ns_max:
                    return 1
        return 0

    # --- what the layers above do, and may do badly
    cdef int complain(self, str problem, object error) noexcept:
        """Tell the loop's exception handler, and go on."""
        try:
            self.loop.call_exception_handler({"message": problem, "exception": error})
        except Exception:
            pass
        return 0

    cdef object tell(self, str hook, tuple arguments):
        """Call a hook; None when it raises."""
        try:
            return getattr(self.hooks, hook)(*arguments)
        except Exception as error:
            self.complain(f"zmqcluster: the hook {hook} failed", error)
            return None

    cdef object crash_reason(self, object process, object error):
        try:
            return self.hooks.on_crash(process, error)
        except Exception as problem:
            self.complain("zmqcluster: the hook on_crash failed", problem)
            return Crashed(type(error).__name__, "", "", error)

    cdef inline int identify(self, object process) except -1:
        """Tell asyncio which process is the current task."""
        if process is self.identity:
            return 0
        if _current_tasks is not None:
            if process is None:
                (<dict>_current_tasks).pop(self.loop, None)
            else:
                PyDict_SetItem(_current_tasks, self.loop, process)
        else:
            if self.identity is not None:
                _leave_task(self.loop, self.identity)
            if process is not None:
                _enter_task(self.loop, process)
        self.identity = process
        return 0

    # --- timers
    cdef inline uint64_t clock_ns(self) except? 0:
        if self.virtual:
            return <uint64_t>(<double>self.loop.time() * 1e9 + 0.5)
        return monotonic_ns()

    cdef inline uint64_t tick(self) except? 0:
        cdef uint64_t slack_ns = 500 if self.virtual else 0     # what a double of seconds loses in a hundred years
        return (self.clock_ns() - self.started_ns + slack_ns) // 1000000

    cdef int arm(self, Runnable runnable, double delay_s) except -1:
        """Wake ``runnable`` not before ``delay_s`` from now, rounded up to a tick."""
        cdef uint64_t now_ns = self.clock_ns() - self.started_ns
        cdef uint64_t delay_ns, due
        if runnable.timer.next != NULL:
            wheel_remove(&self.wheel, &runnable.timer)
        if self.wheel.count == 0:
            self.wheel.now = now_ns // 1000000
        delay_ns = 0 if not delay_s > 0 else <uint64_t>(delay_s * 1e9) if delay_s < 3e8 else <uint64_t>3e17
        due = (now_ns + delay_ns + 999999) // 1000000
        if due <= self.wheel.now:
            due = self.wheel.now + 1
        wheel_add(&self.wheel, &runnable.timer, due)
        if self.tick_handle is None or due < self.tick_due:
            self.wake_at(due)
        return 0

    cdef int wake_at(self, uint64_t due) except -1:
        cdef int64_t delay_ns = <int64_t>(self.started_ns + due * 1000000) - <int64_t>self.clock_ns()
        if self.tick_handle is not None:
            self.tick_handle.cancel()
        self.tick_due = due
        self.tick_handle = self.loop.call_later(
            delay_ns * 1e-9 if delay_ns > 0 else 0, self.on_tick, context=self.context)
        return 0

    def on_tick(self):
        """Fire what is due, and ask to be woken for what is next."""
        cdef int level, slot
        cdef uint64_t due, now = self.tick()
        cdef Entry fired
        cdef Entry* head
        cdef Entry* entry
        self.tick_handle = None
        while wheel_next(&self.wheel, &level, &slot, &due):
            if due > now:
                self.wake_at(due)
                return
            self.wheel.now = due
            head = &self.wheel.heads[level][slot]
            fired.next = head.next
            fired.prev = head.prev
            fired.next.prev = &fired
            fired.prev.next = &fired
            head.next = head
            head.prev = head
            self.wheel.occupied[level] &= ~((<uint64_t>1) << slot)
            while fired.next != &fired:
                entry = fired.next
                entry.next.prev = &fired
                fired.next = entry.next
                entry.next = NULL
                self.wheel.count -= 1
                if entry_due(entry) > due:          # from a wider slot: into a narrower one
                    wheel_add(&self.wheel, entry, entry_due(entry))
                else:
                    try:
                        (<Runnable>runnable_of(entry)).on_timer(self)
                    except BaseException as error:  # ``fired`` is on the stack: none may stay in it
                        self.complain("zmqcluster: a timer failed", error)
        if self.wheel.now < now:
            self.wheel.now = now

    def send_after(self, double delay_s, dest, message):
        """Send ``message`` to ``dest`` in ``delay_s`` seconds; the ref cancels it."""
        cdef SendAfter later = SendAfter.__new__(SendAfter)
        if not (0 <= delay_s):
            raise ConfigError(f"a delay is a number of seconds of at least 0, not {delay_s!r}")
        later.scheduler = self
        later.dest = dest
        later.message = message
        later.ref = self.make_ref()
        self.timers[later.ref] = later
        self.arm(later, delay_s)
        if self.birth_observer is not None:
            self.birth_observer(later.ref)
        return later.ref

    def cancel_timer(self, Ref ref not None):
        """Seconds that were left, or None when the timer has fired or never was."""
        cdef SendAfter later = self.timers.pop(ref, None)
        if later is None:
            return None
        left = self.read_entry(&later.timer)
        wheel_remove(&self.wheel, &later.timer)
        return left

    def read_timer(self, Ref ref not None):
        """Seconds left, or None when the timer has fired or never was."""
        cdef SendAfter later = self.timers.get(ref)
        return None if later is None else self.read_entry(&later.timer)

    cdef object read_entry(self, Entry* entry):
        cdef int64_t left_ns = <int64_t>(self.started_ns + entry_due(entry) * 1000000) - <int64_t>self.clock_ns()
        return left_ns * 1e-9 if left_ns > 0 else 0.0

    # --- the process table
    cdef Process new_process(self):
        cdef Process process = Process.__new__(Process)
        process.scheduler = self
        return process

    cdef int enter_table(self, Process process) except -1:
        cdef uint32_t slot
        if self.first_free == 0:
            self.grow_table()
        slot = self.first_free
        self.first_free = <uint32_t>(self.slots[slot] & 0xFFFFFFFF) >> 1
        process.id = (self.slots[slot] >> 32 << 32) | slot
        Py_INCREF(process)
        self.slots[slot] = <Slot><PyObject*>process
        self.process_count += 1
        return 0

    cdef int grow_table(self) except -1:
        cdef uint32_t count = 64 if self.slots_count == 0 else self.slots_count * 2
        cdef uint32_t slot
        cdef Slot* slots = <Slot*>realloc(self.slots, count * sizeof(Slot))
        if slots == NULL:
            raise MemoryError
        self.slots = slots
        for slot in range(count - 1, max(self.slots_count, <uint32_t>1) - 1, -1):    # slot 0 stays unused
            slots[slot] = free_slot(0, self.first_free)
            self.first_free = slot
        slots[0] = free_slot(0, 0)
        self.slots_count = count
        return 0

    cdef int leave_table(self, Process process) except -1:
        cdef uint32_t slot = <uint32_t>process.id
        if self.slots == NULL or self.slots[slot] != <Slot><PyObject*>process:
            return 0
        if process.bonds is not None and process.bonds.names is not None:
            for name in process.bonds.names:
                self.names.pop(name, None)
            process.bonds.names = None
        if process.bonds is not None and process.bonds.aliases is not None:
            for ref in process.bonds.aliases:
                self.aliases.pop(ref, None)
            process.bonds.aliases = None
        self.slots[slot] = free_slot(((process.id >> 32) + 1) & 0xFFFFFFFF, self.first_free)
        self.first_free = slot
        self.process_count -= 1
        Py_DECREF(process)
        return 0

    cdef void free_table(self) noexcept:
        cdef uint32_t slot
        cdef Slot* slots = self.slots
        cdef uint32_t count = self.slots_count
        self.slots = NULL
        self.slots_count = 0
        for slot in range(1, count):
            if not is_free(slots[slot]):
                Py_XDECREF(<PyObject*>slots[slot])
        free(slots)

    cdef inline Process find(self, uint64_t id):
        """The live process of this id, or None."""
        cdef uint32_t slot = <uint32_t>id
        cdef Process process
        if slot < self.slots_count and not is_free(self.slots[slot]):
            process = <Process><PyObject*>self.slots[slot]
            if process.id == id and not process.dying:
                return process
        return None

    cdef inline Process find_pid(self, Pid pid):
        """The live process of a pid of this node, or None: ended, or of an earlier incarnation."""
        return self.find(pid.id) if pid.incarnation == self.incarnation else None

    cdef Process find_any(self, uint64_t id):
        """Like ``find``, but also a process that has been told to end."""
        cdef uint32_t slot = <uint32_t>id
        cdef Process process
        if slot < self.slots_count and not is_free(self.slots[slot]):
            process = <Process><PyObject*>self.slots[slot]
            if process.id == id:
                return process
        return None

    cdef Process find_ending(self, Pid pid):
        """Like ``find_pid``, but also a process that has been told to end: whoever asks will hear its real reason."""
        return self.find_any(pid.id) if pid.incarnation == self.incarnation else None

    cdef inline bint is_here(self, Pid pid) noexcept:
        return pid.node is self.node or (pid.node is not self.away and pid.node == self.node)

    # --- starting
    def spawn(self, coroutine, *, bint link=False, bint monitor=False, str name=None, label=None, bound=None,
              str policy not None="drop_new"):
        """Start a process that runs ``coroutine``; return its pid, or (pid, ref) with ``monitor``."""
        return self.start(coroutine, link, monitor, name, label, bound, policy)

    cdef object start(self, object coroutine, bint link, bint monitor, str name, object label, object bound,
                      str policy):
        cdef Process process = self.new_process()
        try:
            if name is not None:
                self.check_name(name)
            if bound is not None:
                process.limit(bound, policy)
            if link or monitor:
                self.require_own("spawn_link() and spawn_monitor()")
        except BaseException:
            coroutine.close()                       # nothing was started, so nothing was forgotten
            raise
        process.coroutine = coroutine
        process.context = PyContext_CopyCurrent() if running is not None and running.scheduler is self \
            else PyContext_Copy(self.context)
        self.enter_table(process)
        return self.admit(process, link, monitor, name, label)

    cdef int require_own(self, str what) except -1:
        if require_running(what).scheduler is not self:
            raise UsageError(f"{what} of a process of another node")
        return 0

    def promise(self, server=None, timeout_s=None):
        """A call that nobody has been asked: ``reply`` or ``fail`` settles it, or ``start_server`` takes it along."""
        cdef Call call = Call.__new__(Call)
        call.scheduler = self
        call.server = server
        call.unasked = 1
        if timeout_s is not None:
            call.timeout_s = timeout_s
            if not call.timeout_s >= 0:
                raise ConfigError(f"a timeout is None or a number of seconds of at least 0, not {timeout_s!r}")
            self.arm(call, timeout_s)
        return call

    def start_server(self, Behaviour behaviour not None, server, starting, *, Call promise=None, bint link=False,
                     bint monitor=False, bint isolated=False, Pid parent=None, label=None, bound=None,
                     str policy not None="drop_new"):
        """Start a server process; ``starting`` is a coroutine that initialises ``server`` in it.

        ``promise`` fails with ServerExited when the process ends before ``starting`` replies to it.
        """
        cdef Process process = self.new_process()
        process.handled = promise
        try:
            if bound is not None:
                process.limit(bound, policy)
            if link or monitor:
                self.require_own("start_link()")
        except BaseException:
            starting.close()
            raise
        process.behaviour = behaviour
        process.server = server
        process.coroutine = starting
        process.phase = SLOW
        if isolated:
            process.context = PyContext_Copy(self.context)
        self.enter_table(process)
        if parent is not None:
            process.bond().parent = parent
        return self.admit(process, link, monitor, None, label)

    def start_child(self, Behaviour behaviour not None, server, init, tuple arguments not None, dict keywords,
                    otherwise, *, bint isolated=False, bound=None, str policy not None="drop_new"):
        """Start a server as a child of the running process, and call its ``init`` here and now, as the new process.

        It has started when ``init(*arguments, **keywords)`` returns None. Else ``otherwise(result, error)`` gives the
        coroutine that goes on in the new process, and the promise that fails when that ends the process.
        """
        cdef Process parent = require_running("start_child()")
        cdef Process process = self.new_process()
        if bound is not None:
            process.limit(bound, policy)
        process.behaviour = behaviour
        process.server = server
        process.phase = SLOW
        if isolated:
            process.context = PyContext_Copy(self.context)
        self.enter_table(process)
        process.bond().parent = parent.pid_of()
        if self.birth_observer is not None:
            self.birth_observer(process.pid_of())
        self.link_here(parent, process)
        result, error = self.call_init(parent, process, init, arguments, keywords)
        if result is None and error is None:
            process.phase = SERVING
            process.rest(self)
        else:
            process.coroutine, process.handled = otherwise(result, error)
            self.enqueue(process)
        return process.pid_of()

    cdef tuple call_init(self, Process parent, Process process, object init, tuple arguments, dict keywords):
        global running
        cdef object identity = self.identity
        result, error = None, None
        self.identify(process)
        running = process
        process.stepping = 1
        if process.context is not None:
            PyContext_Enter(process.context)
        try:
            result = init(*arguments) if keywords is None else init(*arguments, **keywords)
        except BaseException as raised:
            error = raised
        finally:
            if process.context is not None:
                PyContext_Exit(process.context)
            process.stepping = 0
            running = parent
            self.identify(identity)
        return result, error

    cdef object admit(self, Process process, bint link, bint monitor, str name, object label):
        cdef Pid pid = process.pid_of()
        cdef Ref ref = None
        if self.birth_observer is not None:
            self.birth_observer(pid)
        if label is not None:
            process.bond().label = label
        if name is not None:
            self.names[name] = process
            process.bond().names = [name]
        if link:
            self.link_here(require_running("spawn_link()"), process)
        if monitor:
            ref = self.monitor_here(require_running("spawn_monitor()"), process, pid)
        self.enqueue(process)
        return (pid, ref) if monitor else pid

    def spawn_task(self, coroutine, *, name=None, context=None):
        """A Process in place of an asyncio Task: registered with asyncio, not in the process table."""
        cdef Process process = self.new_process()
        process.coroutine = coroutine
        process.context = context if context is not None else contextvars.copy_context()
        if name is not None:
            process.set_name(name)
        _register_task(process)
        self.enqueue(process)
        return process

    # --- names
    def register(self, str name not None, Pid pid not None):
        """Give a live process of this node a name. Raises AlreadyRegistered, NoProcessError, ConfigError."""
        cdef Process process = self.find_pid(pid) if self.is_here(pid) else None
        self.check_name(name)
        if process is None:
            raise NoProcessError(pid)
        self.names[name] = process
        if process.bond().names is None:
            process.bonds.names = []
        process.bonds.names.append(name)

    cdef int check_name(self, str name) except -1:
        cdef Process holder = self.names.get(name)
        if not name:
            raise ConfigError("a process name is a non-empty string")
        if holder is not None:
            if not holder.dying:
                raise AlreadyRegistered(name, holder.pid_of())
            del self.names[name]                    # whereis does not find it any more, so its name is free
            holder.bonds.names.remove(name)
        return 0

    def unregister(self, str name not None):
        """Take the name away from its process. Raises NotRegistered."""
        cdef Process holder = self.names.pop(name, None)
        if holder is None:
            raise NotRegistered(name)
        holder.bonds.names.remove(name)

    def whereis(self, str name not None):
        """The pid registered under ``name``, or None."""
        cdef Process holder = self.names.get(name)
        return None if holder is None or holder.dying else holder.pid_of()

    def registered(self):
        """The names in use, sorted."""
        return sorted([name for name, process in self.names.items() if not (<Process>process).dying])

    # --- messages
    cdef Ref make_ref(self):
        self.next_ref += 1
        return new_ref(self.node, self.incarnation, self.next_ref)

    cdef int send(self, object dest, object message) except -1:
        """Raises NotRegistered for an unknown local name; a dead pid takes the message silently."""
        cdef Process process
        if type(dest) is Pid:
            if not self.is_here(<Pid>dest):
                return self.send_away(dest, message)
            process = self.find_pid(<Pid>dest)
            if self.copy_messages:
                message = copied(message)
            if process is not None:
                process.deliver(message)
            return 0
        if type(dest) is Ref and (<Ref>dest).node != self.node:
            return self.send_away(dest, message)
        if self.copy_messages:
            message = copied(message)
        if type(dest) is Ref:
            self.send_to_alias(dest, message)
        elif type(dest) is str:
            process = self.names.get(dest)
            if process is None:
                raise NotRegistered(dest)
            process.deliver(message)
        elif type(dest) is tuple and len(<tuple>dest) == 2:
            if dest[1] == self.node:
                process = self.names.get(dest[0])
                if process is not None:
                    process.deliver(message)
            else:
                self.send_away(dest, message)
        else:
            pid = resolve(dest)
            if pid is None:
                raise NotRegistered(dest)
            self.send(pid, message)
        return 0

    cdef int send_to_alias(self, Ref ref, object message) except -1:
        """What comes after the alias has ended never reaches the mailbox."""
        cdef Process process
        entry = self.aliases.get(ref)
        if entry is None:
            return 0
        process = entry[0]
        if entry[1] & WITH_REPLY:
            self.unalias(process, ref)
            if entry[1] & WITH_MONITOR:
                self.demonitor(process, ref)
        return process.deliver(message)

    cdef bint unalias(self, Process process, Ref ref) except -1:
        entry = self.aliases.get(ref)
        if entry is None or entry[0] is not process:
            return False
        del self.aliases[ref]
        process.bonds.aliases.remove(ref)
        return True

    cdef int end_alias(self, Process process, Ref ref, uint8_t by) except -1:
        """Something happened that ends an alias of this kind."""
        if process.bonds is None or process.bonds.aliases is None:
            return 0
        entry = self.aliases.get(ref)
        if entry is not None and entry[1] & by:
            self.unalias(process, ref)
        return 0

    cdef Ref add_alias(self, Process process, Ref ref, uint8_t ends):
        if process.bond().aliases is None:
            process.bonds.aliases = []
        process.bonds.aliases.append(ref)
        self.aliases[ref] = (process, ends)
        return ref

    cdef int send_if_known(self, object dest, object message) except -1:
        try:
            self.send(dest, message)
        except (NotRegistered, LinkBusy, MailboxFull):
            self.dropped_messages += 1
        return 0

    cdef int send_away(self, object dest, object message) except -1:
        cdef Link link = self.link_to(dest)
        if link is not None:
            link.send_message(dest, message)
            return 0
        if type(message) is Cast:
            message = ((<Cast>message).method, (<Cast>message).request, (<Cast>message).keywords)
        encode(message)                             # the mistake is the sender's, whoever is reachable
        self.dropped_messages += 1
        return 0

    cdef Link link_to(self, object dest):
        """The link to the node of ``dest``, dialled on first use; None when it cannot be reached at all."""
        cdef Link link
        node = (<Pid>dest).node if type(dest) is Pid else (<Ref>dest).node if type(dest) is Ref else dest[1]
        if node is self.away and self.link_away.link_state != DOWN_FOR_GOOD:
            return self.link_away
        link = self.links.get(node)
        if link is None:
            link = self.hooks.connect(node)
            if link is None or link.link_state == DOWN_FOR_GOOD:
                return None
        if node != self.node:
            self.away, self.link_away = node, link
        return link

    def deliver(self, dest, message):
        """Send ``message`` from outside of any process."""
        self.send(dest, message)

    cpdef Call call(self, dest, request, timeout_s, str method=None, dict keywords=None):
        """Put a request to ``dest``; the returned Call is awaited for the reply.

        Raises:
            CallingSelf: the caller is the server.
            NoProcessError: no such process or name.
        """
        cdef Call call = Call.__new__(Call)
        cdef Process process = None
        call.scheduler = self
        call.request = request
        call.method = method
        call.keywords = keywords
        call.server = dest
        call.timeout_s = -1.0 if timeout_s is None else timeout_s
        if timeout_s is not None and not call.timeout_s >= 0:
            raise ConfigError(f"a timeout is None or a number of seconds of at least 0, not {timeout_s!r}")
        if type(dest) is not Pid and type(dest) is not str and not is_pair(dest):
            dest = resolve(dest)
            if dest is None:
                raise NoProcessError(call.server)
        if type(dest) is str:
            process = self.names.get(dest)
        elif type(dest) is Pid and self.is_here(<Pid>dest):
            process = self.find_pid(<Pid>dest)
        elif type(dest) is tuple and dest[1] == self.node:
            process = self.names.get(dest[0])
        else:
            self.call_away(dest, call)
            return call
        if process is None or process.dying:
            raise NoProcessError(call.server)
        if process is running:
            raise CallingSelf(call.server)
        if self.copy_messages:
            call.request = copied(call.request)
            call.keywords = copied(call.keywords)
        process.deliver(call)
        if call.state == OPEN and call.timeout_s >= 0:
            self.arm(call, call.timeout_s)
        return call

    cdef int call_away(self, object dest, Call call) except -1:
        cdef Link link = self.link_to(dest)
        if link is None:
            raise NoConnectionError(dest.node if type(dest) is Pid else dest[1], "the node is not known")
        call.server = dest                          # not a Via: an earlier life of the peer fails the call
        link.send_call(dest, call)
        if call.state == OPEN and call.timeout_s >= 0:
            self.arm(call, call.timeout_s)
        return 0

    cpdef cast(self, dest, request, str method=None, dict keywords=None):
        """Put a request to ``dest`` without waiting for anything; nobody there is no error. Raises LinkBusy."""
        cdef Cast cast
        if type(dest) is not Pid and type(dest) is not tuple and type(dest) is not str:
            dest = resolve(dest)
            if dest is None:
                return
        if type(dest) is Pid and not self.is_here(<Pid>dest):
            self.cast_away(dest, request, method, keywords)
            return
        cast = Cast.__new__(Cast)
        cast.request = request
        cast.method = method
        cast.keywords = keywords
        try:
            self.send(dest, cast)
        except (NotRegistered, MailboxFull):
            self.dropped_messages += 1

    cdef int cast_away(self, Pid dest, object request, str method, dict keywords) except -1:
        """What ``send`` does with a Cast, without the Cast."""
        cdef Link link = self.link_to(dest)
        if link is None:
            encode((method, request, keywords))     # the mistake is the sender's, whoever is reachable
            self.dropped_messages += 1
            return 0
        return link.send_cast(dest, request, method, keywords)

    # --- links, monitors, exits: the same for processes here and away
    cdef int link_here(self, Process one, Process other) except -1:
        if one.bond().links is None:
            one.bonds.links = {}
        if other.bond().links is None:
            other.bonds.links = {}
        one.bonds.links[other.pid_of()] = None
        other.bonds.links[one.pid_of()] = None
        return 0

    cdef int link_pid(self, Process process, Pid pid) except -1:
        cdef Process other
        cdef Link link
        if not self.is_here(pid):
            if process.bond().links is None:
                process.bonds.links = {}
            if pid in process.bonds.links:
                return 0
            link = self.link_to(pid)
            process.bonds.links[pid] = None
            if link is None:
                self.exit_signal(process, pid, NoConnection(pid.node), True)
            else:
                link.send_link(process, pid)
            return 0
        other = self.find_ending(pid)
        if other is process:
            return 0
        if other is None:
            self.exit_signal(process, pid, NoProcess(), False)
        else:
            self.link_here(process, other)
        return 0

    cdef int unlink_pid(self, Process process, Pid pid) except -1:
        cdef Process other
        cdef Link link
        if process.bonds is None or process.bonds.links is None or pid not in process.bonds.links:
            return 0
        del process.bonds.links[pid]
        if self.is_here(pid):
            other = self.find_pid(pid)
            if other is not None and other.bonds is not None and other.bonds.links is not None:
                other.bonds.links.pop(process.pid_of(), None)
        else:
            link = self.links.get(pid.node)
            if link is not None:
                link.send_unlink(process, pid)
        return 0

    cdef int exit_signal(self, Process process, object sender, object reason, bint linked) except -1:
        """The exit-signal table: what an exit signal does to the process that gets it."""
        if process is None or process.ended or process.dying:
            return 0
        if linked:
            if process.bonds is None or process.bonds.links is None or sender not in process.bonds.links:
                return 0                            # unlinked meanwhile
            del process.bonds.links[sender]
        elif type(reason) is Kill:
            return process.die(Killed())
        if process.trapping:
            message = Exit.__new__(Exit)
            (<Exit>message).pid = sender
            (<Exit>message).reason = reason
            return process.deliver(message)
        if type(reason) is Normal and (linked or sender != process.pid_of()):
            return 0
        return process.die(reason)

    cdef Ref monitor_here(self, Process watcher, Process watched, object what):
        cdef Ref ref = self.make_ref()
        if watcher is watched:
            return ref
        if watched.bond().watchers is None:
            watched.bonds.watchers = {}
        if watcher.bond().monitors is None:
            watcher.bonds.monitors = {}
        watched.bonds.watchers[ref] = watcher.pid_of()
        watcher.bonds.monitors[ref] = watched.pid_of() if type(what) is Pid else (what, watched.pid_of())
        return ref

    cdef Ref monitor(self, Process watcher, object dest):
        cdef Process watched
        cdef Ref ref
        cdef Link link
        if type(dest) is not Pid and type(dest) is not str and not is_pair(dest):
            dest = resolve(dest)
        if type(dest) is Pid and self.is_here(<Pid>dest):
            watched = self.find_ending(<Pid>dest)
        elif type(dest) is str or (type(dest) is tuple and dest[1] == self.node):
            if type(dest) is str:
                dest = (dest, self.node)
            watched = self.names.get(dest[0])
        elif dest is None:
            watched = None
        else:
            ref = self.make_ref()
            link = self.link_to(dest)
            if link is None:
                self.down(watcher, ref, dest, NoConnection(dest.node if type(dest) is Pid else dest[1]))
            else:
                link.send_monitor(watcher, ref, dest)
            return ref
        if watched is not None:
            return self.monitor_here(watcher, watched, dest)
        ref = self.make_ref()
        self.down(watcher, ref, dest, NoProcess())
        return ref

    cdef int down(self, Process watcher, Ref ref, object what, object reason) except -1:
        cdef Down message = Down.__new__(Down)
        self.end_alias(watcher, ref, WITH_MONITOR)
        message.ref = ref
        message.object = what
        message.reason = reason
        return watcher.deliver(message)

    cdef bint demonitor(self, Process watcher, Ref ref) except -1:
        """Stop watching; return whether the monitor was still there."""
        cdef Process watched
        cdef Link link
        cdef Pid pid
        if watcher.bonds is None or watcher.bonds.monitors is None:
            return False
        what = watcher.bonds.monitors.pop(ref, None)
        if what is None:
            return False
        if type(what) is tuple and type(what[1]) is Pid:
            what = what[1]
        if type(what) is Pid and self.is_here(<Pid>what):
            watched = self.find_pid(<Pid>what)
            if watched is not None and watched.bonds is not None and watched.bonds.watchers is not None:
                watched.bonds.watchers.pop(ref, None)
        else:
            link = self.links.get((<Pid>what).node if type(what) is Pid else what[1])
            if link is not None:
                link.send_demonitor(ref)
        return True

    cdef int tell_down(self, Pid watcher_pid, Ref ref, Process watched, object reason) except -1:
        cdef Process watcher
        cdef Link link
        if self.is_here(watcher_pid):
            watcher = self.find_pid(watcher_pid)
            if watcher is not None and watcher.bonds is not None and watcher.bonds.monitors is not None:
                what = watcher.bonds.monitors.pop(ref, None)
                if what is not None:
                    self.down(watcher, ref, what[0] if type(what) is tuple else what, reason)
        else:
            link = self.links.get(watcher_pid.node)
            if link is not None and link.incarnation == watcher_pid.incarnation:
                link.watched.pop(ref, None)
                link.send_down(watched.id, ref, reason)
        return 0

    cdef int tell_bonds(self, Process process, Bonds bonds, object reason) except -1:
        """Send EXIT to the links and DOWN to the watchers of a process that has ended."""
        cdef Pid pid = process.pid_of()
        cdef Link link
        if bonds.links is not None:
            links, bonds.links = bonds.links, None
            for other in links:
                if self.is_here(<Pid>other):
                    self.exit_signal(self.find_pid(<Pid>other), pid, reason, True)
                else:
                    link = self.links.get((<Pid>other).node)
                    if link is not None:
                        link.send_exit(process.id, <Pid>other, reason, True)
        if bonds.watchers is not None:
            watchers, bonds.watchers = bonds.watchers, None
            for ref, watcher in watchers.items():
                self.tell_down(<Pid>watcher, <Ref>ref, process, reason)
        if bonds.monitors is not None:
            for ref in list(bonds.monitors):
                self.demonitor(process, <Ref>ref)
        return 0

    def exit(self, sender, Pid pid not None, reason):
        """Send an exit signal to ``pid``, in the name of ``sender`` (a pid)."""
        cdef Link link
        if self.is_here(pid):
            self.exit_signal(self.find_pid(pid), sender, reason, False)
        else:
            link = self.link_to(pid)
            if link is not None:
                ours = type(sender) is Pid and self.is_here(<Pid>sender)
                link.send_exit(sender.id if ours else 0, pid, reason, False)

    # --- frames in and out; see _link.pxi
    cdef int begin(self) except -1:
        self.scheduled = 1                          # end() drains: what the frames make ready needs no call_soon
        PyContext_Enter(self.context)
        return 0

    cdef int feed(self, const char* source, size_t source_bytes, const char* data, size_t data_bytes) except -1:
        try:
            return receive_frame(self, source, source_bytes, data, data_bytes)
        except Exception as error:                  # a batch goes on, and ends, whatever is in it
            self.complain("zmqcluster: a frame failed", error)
            return 0

    cdef int end(self) except -1:
        try:
            self.drain()
        finally:
            PyContext_Exit(self.context)
        return 0

    cdef int flush_links(self) except -1:
        cdef Link link
        dirty, self.dirty = self.dirty, []
        for link in dirty:
            link.dirty = 0
            flush_link(link)
        return 0

    def open_link(self, node):
        """A pending link to ``node``: what is sent to it waits for ``link_up``."""
        return open_link(self, str(node))

    def link_up(self, Link link not None, Outlet outlet not None, uint64_t epoch, bytes source not None,
                uint64_t incarnation):
        """The session is agreed: send what waited for it."""
        link_up(self, link, outlet, epoch, source, incarnation)

    def link_down(self, Link link not None, reason=None):
        """The session is over: NoConnection to whoever depends on it."""
        link_down(self, link, reason)

    def link_of(self, node):
        """The link to ``node``, pending or up, or None."""
        return self.links.get(node)

    def acknowledge(self):
        """Confirm to every peer what was received lately; the node calls this at each tick."""
        acknowledge_links(self)

    # --- for the layers above
    def is_alive(self, Pid pid not None):
        """Whether the process, of this node, lives."""
        if not self.is_here(pid):
            raise ConfigError(f"{pid!r} is a process of another node: monitor it instead")
        return self.find_pid(pid) is not None

    def pids(self):
        """The pids of the live processes, in the order of their slots."""
        cdef uint32_t slot
        found = []
        for slot in range(1, self.slots_count):
            if not is_free(self.slots[slot]):
                found.append((<Process><PyObject*>self.slots[slot]).pid_of())
        return found

    def describe(self, Pid pid not None):
        """What is known of a live process of this node, or None: see runtime.process.ProcessInfo."""
        cdef Process process = self.find_pid(pid) if self.is_here(pid) else None
        cdef Bonds bonds
        if process is None:
            return None
        bonds = process.bonds if process.bonds is not None else Bonds.__new__(Bonds)
        return {
            "names": list(bonds.names or ()),
            "links": list(bonds.links or ()),
            "monitors": [what[0] if type(what) is tuple else what for what in (bonds.monitors or {}).values()],
            "watchers": list((bonds.watchers or {}).values()),
            "trap_exits": bool(process.trapping),
            "aliases": list(bonds.aliases or ()),
            "queued": process.mailbox.used - process.mailbox.holes,
            "bound": bonds.bound if process.bounded else None,
            "status": self.describe_status(process),
            "current": describe_frame(process.coroutine),
            "memory": process.memory_bytes(),
            "parent": bonds.parent,
            "label": bonds.label if bonds.label is not None else self.describe_code(process),
        }

    cdef str describe_status(self, Process process):
        if process.attention & SUSPENDED:
            return "suspended"
        if process.stepping:
            return "running"
        if process.queued:
            return "ready"
        return "hibernated" if process.hibernated else "waiting"

    cdef object describe_code(self, Process process):
        if process.behaviour is not None:
            return process.behaviour.name
        return getattr(process.coroutine, "__qualname__", None)

    def server_of(self, Pid pid not None):
        """The server object of a live server process of this node, or None."""
        cdef Process process = self.find_pid(pid) if self.is_here(pid) else None
        return None if process is None else process.server

    def close(self):
        """End every process with Shutdown at once; no code of theirs runs any more but their unwinding."""
        cdef uint32_t slot
        cdef Process process
        cdef bint again = True
        while again:                                # their unwinding may start processes
            again = False
            for slot in range(1, self.slots_count):
                if not is_free(self.slots[slot]):
                    process = <Process><PyObject*>self.slots[slot]
                    if not process.dying:
                        again = True
                        process.die(Shutdown("node stopped"))
            while self.ready.used:
                self.drain()
        if self.tick_handle is not None:
            self.tick_handle.cancel()
            self.tick_handle = None

    def __repr__(self):
        return f"<Scheduler of {self.node} with {self.process_count} processes>"
