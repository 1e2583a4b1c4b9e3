# The API of a process: each function works on behalf of the process that runs.

cdef inline Process require_running(str what):
    if running is None:
        raise NotInProcess(what)
    return running


cdef inline Scheduler here(str what):
    """The scheduler of the running process, or of the node whose code this is, for plain tasks of a process."""
    if running is not None:
        return running.scheduler
    scheduler = SCHEDULER.get(None)
    if scheduler is None:
        raise NotInProcess(what)
    return <Scheduler>scheduler


cdef object resolve(object dest):
    """The pid behind a Via or a client handle; None when nobody is registered there."""
    whereis = getattr(dest, "whereis", None)
    if whereis is None:
        raise ConfigError(f"{dest!r} is not a destination: use a Pid, a name, (name, node) or a Via")
    return whereis()


def current_scheduler():
    """The scheduler of the running process or, in a plain task started by one, of its node."""
    return here("current_scheduler()")


def self():
    """The pid of the running process. Raises NotInProcess elsewhere."""
    return require_running("self()").pid_of()


def send(dest, message):
    """Send ``message``; it arrives at most once, after all that this process sent to the same process before.

    Raises:
        NotRegistered: a local name that nobody has. A pid of a dead process takes the message silently.
        EncodeError: the message cannot cross the link to another node; the error names the path to the value.
        LinkBusy: the link is full. MailboxFull: the receiver's mailbox is, and it refuses.
    """
    here("send()").send(dest, message)


def receive(match=None, *, timeout_s=None):
    """Await the next message, or the first that ``match`` accepts. What does not match stays, in its order.

    Args:
        match: a type or a union of types (their instances), ``...`` (anything), a tuple of such patterns (a tuple of
            that length, part by part), a function (what it accepts), or any other value (its equal of the same type).
        timeout_s: 0 only looks; None waits for ever.
    Raises:
        TimeoutError: nothing matched within ``timeout_s``; nothing was taken.
        NotInProcess: not awaited by a process. ConfigError: the pattern is none, such as ``list[int]``.
    """
    cdef Process process = require_running("receive()")
    cdef SelectiveReceive receive
    if match is None and timeout_s is None:
        if process.receiver is None:
            process.receiver = Receive.__new__(Receive)
            process.receiver.process = process
        return process.receiver
    if timeout_s is not None and not timeout_s >= 0:
        raise ConfigError(f"a timeout is None or a number of seconds of at least 0, not {timeout_s!r}")
    check_pattern(match)
    receive = SelectiveReceive.__new__(SelectiveReceive)
    receive.process = process
    receive.match = match
    receive.timeout_s = -1.0 if timeout_s is None else timeout_s
    return receive


def coroutine_of(function, tuple arguments not None):
    """What a process that runs ``function(*arguments)`` steps; a plain function is called in the process."""
    if PyFunction_Check(function) and (<object>PyFunction_GET_CODE(function)).co_flags & CO_COROUTINE:
        return function(*arguments)
    if asyncio.iscoroutinefunction(function):
        return function(*arguments)
    if not callable(function):
        raise ConfigError(f"spawn takes a function and its arguments, not {function!r}")
    return run_plain(function, arguments)


async def run_plain(function, arguments):
    result = function(*arguments)
    return await result if inspect.isawaitable(result) else result


def spawn(function, *arguments, str name=None, bound=None, str policy not None="drop_new"):
    """Start a process that runs ``function(*arguments)``; return its pid at once.

    Args:
        name: registered before the process runs.
        bound: messages its mailbox holds at most; None for no bound. Exit and Down messages always go in.
        policy: what a full mailbox does: ``drop_new``, ``drop_old``, or ``refuse`` (``send`` raises MailboxFull).
    Raises:
        AlreadyRegistered: ``name`` is taken; nothing was started.
    Source: erlang:spawn/3; the bound is ours.
    """
    return here("spawn()").start(coroutine_of(function, arguments), False, False, name, None, bound, policy)


def link(Pid pid not None):
    cdef Process process = require_running("link()")
    process.scheduler.link_pid(process, pid)


def unlink(Pid pid not None):
    cdef Process process = require_running("unlink()")
    process.scheduler.unlink_pid(process, pid)


def monitor(dest, alias=None):
    cdef Process process = require_running("monitor()")
    cdef uint8_t ends = 0
    cdef Ref ref
    if alias is not None:
        ends = ends_of(alias, ("explicit", "demonitor", "reply_demonitor"))
    ref = process.scheduler.monitor(process, dest)
    if alias is not None and (not ends & WITH_MONITOR or is_watching(process, ref)):
        process.scheduler.add_alias(process, ref, ends)
    return ref


cdef bint is_watching(Process process, Ref ref) except -1:
    """False when the Down has come already."""
    return process.bonds is not None and process.bonds.monitors is not None and ref in process.bonds.monitors


cdef uint8_t ends_of(object mode, tuple modes) except 255:
    if mode not in modes:
        raise ConfigError(f"an alias is one of {modes} here, not {mode!r}")
    return (WITH_MONITOR if mode.endswith("demonitor") else 0) | (WITH_REPLY if mode.startswith("reply") else 0)


def alias(mode="explicit"):
    cdef Process process = require_running("alias()")
    cdef uint8_t ends = ends_of(mode, ("explicit", "reply"))
    return process.scheduler.add_alias(process, process.scheduler.make_ref(), ends)


def monitor_fired(Pid pid not None, reason):
    """A monitor of ``pid`` that has fired already: its Down is in the mailbox of the running process."""
    cdef Process process = require_running("monitor_fired()")
    cdef Ref ref = process.scheduler.make_ref()
    process.scheduler.down(process, ref, pid, reason)
    return ref


def unalias(Ref ref not None):
    cdef Process process = require_running("unalias()")
    return process.scheduler.unalias(process, ref)


def dictionary():
    """The dictionary of the running process: for what libraries keep per process."""
    cdef Process process = require_running("dictionary()")
    if process.bond().dictionary is None:
        process.bonds.dictionary = {}
    return process.bonds.dictionary


def hibernate():
    """Give back the memory of the running process' mailbox until its next message; not when one is queued already."""
    require_running("hibernate()").sleep()


def hibernate_after(double idle_s):
    """Let the running server hibernate whenever no message came for ``idle_s`` seconds."""
    cdef Process process = require_running("hibernate_after()")
    process.bond().idle_s = idle_s
    process.attention |= HIBERNATING


cdef object copied(object message):
    """A message as it would arrive on another node; raises as if it had been sent there."""
    cdef Cast cast
    if isinstance(message, Resident):
        return message
    if type(message) is not Cast:
        return decode(encode(message))
    cast = Cast.__new__(Cast)
    cast.method = (<Cast>message).method
    cast.request = copied((<Cast>message).request)
    cast.keywords = decode(encode((<Cast>message).keywords))
    return cast


cdef object describe_frame(object coroutine):
    frame = getattr(coroutine, "cr_frame", None)
    return None if frame is None else f"{frame.f_code.co_qualname}:{frame.f_lineno}"


def demonitor(Ref ref not None, *, bint flush=False, bint info=False):
    cdef Process process = require_running("demonitor()")
    cdef bint was_there = process.scheduler.demonitor(process, ref)
    cdef uint32_t position = 0
    cdef PyObject* message
    process.scheduler.end_alias(process, ref, WITH_MONITOR)
    if flush and not was_there:
        while position < process.mailbox.used:
            message = ring_at(&process.mailbox, position)
            if message != NULL and type(<object>message) is Down and (<Down>message).ref == ref:
                Py_XDECREF(ring_take(&process.mailbox, position))
                break
            position += 1
    return was_there if info else True


def trap_exits(bint flag):
    cdef Process process = require_running("trap_exits()")
    was = bool(process.trapping)
    process.trapping = 1 if flag else 0
    return was


def exit_self(reason):
    """End the running process by a signal to itself; only a process that traps exits goes on."""
    cdef Process process = require_running("exit()")
    process.scheduler.exit_signal(process, process.pid_of(), reason, False)
    if process.dying:
        raise ProcessExit(process.outcome)


def caller():
    """Who waits for the reply of the call that the running server handles: for ``reply``, after NoReply was returned.

    The Call that ``handle_call`` gets as an argument, for typed methods, which do not.

    Raises:
        UsageError: the running process handles no call.
    Source: gen_server's From.
    """
    cdef Process process = require_running("caller()")
    if type(process.handled) is Call and not (<Call>process.handled).unasked:   # of an async handler, or a Continue
        return process.handled
    if taken_by == <PyObject*>process and process.phase == SERVING:
        return <object>taken_call
    raise UsageError("caller() is for the handler of a call, before it has returned")


def expect_message(timeout_s):
    """Let the running server be told TIMEOUT when no message comes within ``timeout_s``."""
    cdef Process process = require_running("expect_message()")
    process.bond().expected_s = timeout_s
    process.attention |= EXPECTING


def suspend(bint flag):
    """Let the running server take system calls only, or all messages again; return the old setting."""
    cdef Process process = require_running("suspend()")
    was = bool(process.attention & SUSPENDED)
    if flag:
        process.attention |= SUSPENDED
    else:
        process.attention &= ~SUSPENDED
    return was


def observe(observer):
    """Tell ``observer(direction, message, value)`` of each message of the running server; None ends it.

    See otp.debug.
    """
    cdef Process process = require_running("observe()")
    process.bond().observer = observer
    if observer is None:
        process.attention &= ~OBSERVED
    else:
        process.attention |= OBSERVED


def observer():
    """What ``observe`` was given last, or None."""
    cdef Process process = require_running("observer()")
    return None if process.bonds is None else process.bonds.observer


def become(Behaviour behaviour not None):
    """Serve the next message with other handlers: the code of the running server was changed."""
    require_running("become()").behaviour = behaviour


def is_ending():
    """Whether the running process was told to end: what runs now is its unwinding."""
    return bool(require_running("is_ending()").dying)


def is_held():
    """Whether the running process has filled a link: it will not run again before that drains."""
    return running is not None and running.held > 0


def wait_for_link(str node not None):
    """Hold the running process, at its next await, until the link to ``node`` has room. Returns whether it will."""
    cdef Link link
    if running is None or running.id == 0:
        return False
    link = running.scheduler.links.get(node)
    if link is not None:
        hold(link, running)
    return True


def never_hold():
    """Let the running process go on whatever link it fills: it serves all peers, and one may not stop it."""
    require_running("never_hold()").unheld = 1


def parent():
    """The parent of the running server, or None."""
    cdef Process process = require_running("parent()")
    return None if process.bonds is None else process.bonds.parent


def set_parent(Pid pid not None):
    require_running("set_parent()").bond().parent = pid


def set_label(label):
    """Describe the running process in inspections and reports."""
    require_running("set_label()").bond().label = label


def spawn_task(loop, coroutine, *, name=None, context=None):
    """Run ``coroutine`` as a Process that stands in for an asyncio Task of ``loop``: a task factory."""
    cdef Scheduler scheduler = getattr(loop, "_zmqcluster_scheduler", None)
    if scheduler is None:
        scheduler = Scheduler(loop)
        loop._zmqcluster_scheduler = scheduler
    return scheduler.spawn_task(coroutine, name=name, context=context)
