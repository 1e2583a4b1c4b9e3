# The link to one peer: a session's outgoing half, and what depends on it.
#
# A frame is one ZeroMQ message, a batch of envelopes (big endian):
#
#    u8 DATA | u64 epoch | u64 sequence | u64 bytes acked | u64 envelopes acked | envelope ...
#    envelope:  u32 length | u8 kind | destination | ...      length counts what follows it
#
# The destination is the varint id of a process or, with a flag in the kind, its encoded name or the id of an alias. The
# id 0 is the node itself: a call to it is for the hook on_node_call.
#
# A frame whose sequence is 0 only acknowledges. A frame of an unknown epoch, or from another connection than the
# session's, is dropped and counted; a gap ends the session. So ZeroMQ's silent redelivery and loss never reach a
# process.
#
# How what is written here leaves, in which order and how fast, is in _flow.pxi; what comes in, in _arrivals.pxi.
#
# Above BUFFER_BYTES_MAX a sender gets LinkBusy. That is for messages, calls and casts: signals (LINK, EXIT, DOWN, ...)
# always go in, for somebody may wait for ever for one that is lost, and their number is bounded by that of links and
# monitors.
#
# A process that has unlinked takes no LINK of the other until that has answered its UNLINK: such a LINK was sent before
# the UNLINK came, which undoes it. Without this, two that unlink and link across each other would disagree for ever on
# whether they are linked. Source: UNLINK_ID and UNLINK_ID_ACK of Erlang's distribution protocol.

cdef enum:
    DATA = 1
    HEADER_BYTES = 33

cdef enum Kind:
    SEND = 1
    CALL = 2            # + number, request
    CALL_METHOD = 3     # + number, method, positional, keywords
    CAST = 4
    CAST_METHOD = 5
    REPLY = 6           # number, value: no destination
    FAIL = 7            # number, code, detail
    LINK = 8            # + id of the sender
    UNLINK = 9          # + id of the sender, number
    EXIT_LINKED = 10    # + id of the sender, reason
    EXIT = 11           # + id of the sender or 0, reason: exit(pid, reason)
    MONITOR = 12        # + id of the watcher, ref
    DEMONITOR = 13      # ref: no destination
    DOWN = 14           # ref, reason
    PART = 15           # number of the lane, whether the last, some bytes of an envelope: no destination
    UNLINKED = 16       # + id of the sender, number: the answer to UNLINK
    BY_NAME = 64
    BY_ALIAS = 128

cdef enum LinkState:
    PENDING
    UP
    DOWN_FOR_GOOD

cdef uint64_t BUFFER_BYTES_MAX = constants.BUFFER_BYTES_MAX
cdef uint64_t FRAME_BYTES_FLUSH = constants.FRAME_BYTES_FLUSH
cdef uint64_t MESSAGE_BYTES_MAX = constants.MESSAGE_BYTES_MAX
cdef uint64_t REASON_BYTES_MAX = constants.MESSAGE_BYTES_MAX // 2   # an envelope has room for the rest
cdef Py_ssize_t REASON_TEXT_MAX = 10_000


@cython.final
cdef class Link:
    """One session with a peer, from first use (pending) through up to down; a new session is a new Link."""
    cdef Scheduler scheduler
    cdef readonly str node
    cdef readonly uint64_t incarnation      # 0 while pending
    cdef readonly uint64_t epoch
    cdef bytes source                       # the peer's connection to our ROUTER
    cdef Outlet outlet
    cdef Buffer out
    cdef list unborn                        # while pending: (incarnation of the addressee or 0, envelope)
    cdef object waiting                     # frames cut off and not sent: a deque
    cdef uint64_t waiting_bytes             # of them, and of the unborn
    cdef dict lanes                         # id of the sender -> Lane; None when there is none
    cdef uint64_t lanes_bytes
    cdef uint8_t lane_turn                  # a lane's part is next
    cdef dict held                          # Process -> None: those that filled it and do not run until it drains
    cdef dict parts                         # number of the peer's lane -> Assembly
    cdef uint64_t parts_bytes
    cdef readonly uint64_t window_bytes     # sent and not acknowledged: at most this
    cdef uint64_t mark                      # of sent_bytes, whose acknowledgement is timed; 0: none
    cdef uint64_t marked_ns, least_ns, probe_ns
    cdef uint8_t probing
    cdef uint8_t was_slow                   # acknowledgements took too long once
    cdef uint64_t next_number
    cdef uint64_t sequence                  # of the last frame cut
    cdef uint64_t received_sequence
    cdef readonly uint64_t sent_bytes, acked_bytes
    cdef readonly uint64_t received_bytes, acknowledged_bytes
    cdef readonly uint64_t sent_count, acked_count, received_count     # in envelopes
    cdef uint8_t link_state
    cdef uint8_t blocked                    # the outlet is full
    cdef uint8_t dirty
    cdef uint8_t writing                    # an envelope is begun and not ended
    cdef uint8_t flushing
    cdef dict calls                         # number -> Call of ours
    cdef dict linked                        # (id here, Pid there) -> None
    cdef dict unlinking                     # (id here, Pid there) -> number of the UNLINK that is not answered yet
    cdef dict watching                      # Ref -> (id of the watcher here, what)
    cdef dict watched                       # Ref of theirs -> id here

    def __dealloc__(self):
        free(self.out.bytes)

    @property
    def state(self):
        return ("pending", "up", "down")[self.link_state]

    @property
    def unacked_count(self):
        """Envelopes sent whose dispatch the peer has not confirmed."""
        return self.sent_count - self.acked_count

    @property
    def buffered_bytes(self):
        """What waits on our side."""
        return self.out.used + self.waiting_bytes + self.lanes_bytes

    cdef inline bint is_full(self) except -1:
        """Whether the running process may send no more: who waits behind a long message of another is not to blame."""
        if self.out.used + self.waiting_bytes > BUFFER_BYTES_MAX:
            return True
        return self.lanes is not None and is_lane_full(self)

    # --- writing envelopes
    cdef Py_ssize_t begin_envelope(self, int kind, object dest) except -1:
        """Start an envelope to a Pid or (name, node); return where, so that an error can take it back."""
        cdef Py_ssize_t mark
        if self.link_state == DOWN_FOR_GOOD:
            raise NoConnectionError(self.node, "the link went down")
        if self.writing:                            # code of a value that is being encoded; its envelope comes first
            raise LinkBusy(self.node, "a value being sent sends itself")
        if kind <= CAST_METHOD and self.is_full():
            raise LinkBusy(self.node, f"{self.buffered_bytes} bytes wait")
        if self.out.used == 0:
            reserve(&self.out, HEADER_BYTES)
            self.out.used = HEADER_BYTES
        mark = self.out.used
        reserve(&self.out, 5)
        self.out.used += 5
        self.writing = 1
        if type(dest) is Pid:
            self.out.bytes[mark + 4] = <char>kind
            put_varint(&self.out, (<Pid>dest).id)
        elif dest is None:
            self.out.bytes[mark + 4] = <char>kind
        elif type(dest) is Ref:
            self.out.bytes[mark + 4] = <char>(kind | BY_ALIAS)
            put_varint(&self.out, (<Ref>dest).id)
        else:
            self.out.bytes[mark + 4] = <char>(kind | BY_NAME)
            try:
                encode_value(&self.out, dest[0], 0)
            except BaseException:
                self.take_back(mark)
                raise
        return mark

    cdef int take_back(self, Py_ssize_t mark) except -1:
        self.out.used = mark
        self.writing = 0
        return 0

    cdef int put(self, Py_ssize_t mark, object value) except -1:
        """Add a value; an error takes the envelope back, and names the path to what cannot be sent."""
        try:
            encode_value(&self.out, value, 0)
        except BaseException:
            self.take_back(mark)
            encode(value)                           # the cold path: raises with the path
            raise
        return 0

    cdef int put_reason(self, Py_ssize_t mark, object reason) except -1:
        """Exit reasons always travel: what cannot be sent goes as its repr."""
        cdef size_t before = self.out.used
        try:
            encode_value(&self.out, reason, 0)
            if self.out.used - before <= REASON_BYTES_MAX:
                return 0
        except Exception:
            pass
        self.out.used = before
        encode_value(&self.out, text_of(repr, reason), 0)
        return 0

    cdef inline int end_envelope(self, Py_ssize_t mark, object dest) except -1:
        return self.end_envelope_of(running.id if running is not None else 0, mark, dest)

    cdef int end_envelope_of(self, uint64_t sender, Py_ssize_t mark, object dest) except -1:
        """``sender``: whose order this envelope belongs to; 0: of none of our processes."""
        cdef size_t length = self.out.used - mark - 4
        self.writing = 0
        if length > MESSAGE_BYTES_MAX:
            self.out.used = mark
            raise FrameTooLarge(length, MESSAGE_BYTES_MAX)
        store32(self.out.bytes + mark, <uint32_t>length)
        if self.link_state == PENDING:
            self.unborn.append((incarnation_of(dest), sender, self.out.bytes[mark:mark + 4 + length]))
            self.waiting_bytes += length + 4
            self.out.used = 0
            return 0
        self.sent_count += 1
        if length > LANE_BYTES or (self.lanes is not None and sender in self.lanes):
            divert(self, sender, mark)
        self.soil()
        if self.out.used >= FRAME_BYTES_FLUSH:
            flush_link(self)
            if self.out.used >= FRAME_BYTES_FLUSH:
                cut(self)
        return 0

    cdef inline int soil(self) except -1:
        """See to it that this turn ends with a flush."""
        if not self.dirty:
            self.dirty = 1
            self.scheduler.dirty.append(self)
            if not self.scheduler.scheduled:
                self.scheduler.scheduled = 1
                self.scheduler.call_soon(self.scheduler.drain_callback, context=self.scheduler.context)
        return 0

    cdef inline bint is_past(self, object dest) except -1:
        """Whether ``dest`` is a pid of another life of the peer."""
        cdef uint64_t incarnation = incarnation_of(dest)
        return self.link_state == UP and incarnation != 0 and incarnation != self.incarnation

    cdef int send_message(self, object dest, object message) except -1:
        cdef Py_ssize_t mark
        if type(message) is Cast:
            return self.send_cast(dest, (<Cast>message).request, (<Cast>message).method, (<Cast>message).keywords)
        if self.is_past(dest):
            encode(message)
            return 0
        if self.link_state == DOWN_FOR_GOOD:
            return 0
        mark = self.begin_envelope(SEND, dest)
        self.put(mark, message)
        self.end_envelope(mark, dest)
        return throttle(self)

    cdef int send_cast(self, object dest, object request, str method, dict keywords) except -1:
        cdef Py_ssize_t mark
        if self.is_past(dest):
            encode((method, request, keywords))
            return 0
        if self.link_state == DOWN_FOR_GOOD:
            return 0
        mark = self.begin_envelope(CAST if method is None else CAST_METHOD, dest)
        if method is not None:
            self.put(mark, method)
        self.put(mark, request)
        if method is not None:
            self.put(mark, keywords)
        self.end_envelope(mark, dest)
        return throttle(self)

    cdef int send_call(self, object dest, Call call) except -1:
        cdef Py_ssize_t mark
        if self.is_past(dest):
            raise NoProcessError(dest)
        mark = self.begin_envelope(CALL if call.method is None else CALL_METHOD, dest)
        self.next_number += 1
        put_varint(&self.out, self.next_number)
        if call.method is not None:
            self.put(mark, call.method)
        self.put(mark, call.request)
        if call.method is not None:
            self.put(mark, call.keywords)
        call.link = self
        call.number = self.next_number
        self.calls[call.number] = call
        try:
            self.end_envelope(mark, dest)
        except BaseException:
            self.calls.pop(call.number, None)
            call.link = None
            raise
        return 0

    cdef int send_outcome(self, uint64_t sender, Call call) except -1:
        """Reply to a call of the peer, with a value or an error. The server is not to blame for what goes wrong."""
        if self.link_state != UP:
            return 0
        if call.state != REPLIED:
            return self.send_failure(sender, call.number, call.value)
        if self.is_full():
            busy = LinkBusy(self.scheduler.node, "there is no room for the reply")
            return self.send_failure(sender, call.number, busy)
        try:
            return self.send_reply(sender, call.number, call.value)
        except Exception as error:
            self.scheduler.tell("on_bad_reply", (call.server, error))
            return self.send_failure(sender, call.number, error)

    cdef int send_reply(self, uint64_t sender, uint64_t number, object value) except -1:
        cdef Py_ssize_t mark = self.begin_envelope(REPLY, None)
        put_varint(&self.out, number)
        self.put(mark, value)
        return self.end_envelope_of(sender, mark, None)

    cdef int send_failure(self, uint64_t sender, uint64_t number, object error) except -1:
        cdef Py_ssize_t mark
        code, detail = failure_code(error)
        if self.link_state != UP:
            return 0
        mark = self.begin_envelope(FAIL, None)
        put_varint(&self.out, number)
        self.put(mark, code)
        self.put_reason(mark, detail)
        return self.end_envelope_of(sender, mark, None)

    cdef int send_link(self, Process process, Pid pid) except -1:
        cdef Py_ssize_t mark
        if self.is_past(pid):
            self.scheduler.exit_signal(process, pid, NoProcess(), True)
            return 0
        mark = self.begin_envelope(LINK, pid)
        put_varint(&self.out, process.id)
        self.linked[(process.id, pid)] = None
        self.unlinking.pop((process.id, pid), None)
        return self.end_envelope_of(process.id, mark, pid)

    cdef int send_unlink(self, Process process, Pid pid) except -1:
        cdef Py_ssize_t mark
        if self.linked.pop((process.id, pid), NOTHING) is NOTHING:
            return 0
        self.next_number += 1
        self.unlinking[(process.id, pid)] = self.next_number
        mark = self.begin_envelope(UNLINK, pid)
        put_varint(&self.out, process.id)
        put_varint(&self.out, self.next_number)
        return self.end_envelope_of(process.id, mark, pid)

    cdef int send_unlinked(self, uint64_t id, Pid pid, uint64_t number) except -1:
        cdef Py_ssize_t mark = self.begin_envelope(UNLINKED, pid)
        put_varint(&self.out, id)
        put_varint(&self.out, number)
        return self.end_envelope_of(id, mark, pid)

    cdef int send_exit(self, uint64_t sender, Pid pid, object reason, bint linked) except -1:
        cdef Py_ssize_t mark
        if self.is_past(pid) or self.link_state == DOWN_FOR_GOOD:
            return 0
        if linked:
            self.linked.pop((sender, pid), None)
        mark = self.begin_envelope(EXIT_LINKED if linked else EXIT, pid)
        put_varint(&self.out, sender)
        self.put_reason(mark, reason)
        return self.end_envelope_of(sender, mark, pid)

    cdef int send_monitor(self, Process watcher, Ref ref, object dest) except -1:
        cdef Py_ssize_t mark
        if watcher.bond().monitors is None:
            watcher.bonds.monitors = {}
        if self.is_past(dest):
            self.scheduler.down(watcher, ref, dest, NoProcess())
            return 0
        mark = self.begin_envelope(MONITOR, dest)
        put_varint(&self.out, watcher.id)
        put_varint(&self.out, ref.id)
        watcher.bonds.monitors[ref] = dest
        self.watching[ref] = (watcher.id, dest)
        return self.end_envelope_of(watcher.id, mark, dest)

    cdef int send_demonitor(self, Ref ref) except -1:
        cdef Py_ssize_t mark
        entry = self.watching.pop(ref, None)
        if entry is None:
            return 0
        mark = self.begin_envelope(DEMONITOR, None)
        put_varint(&self.out, ref.id)
        return self.end_envelope_of(entry[0], mark, None)

    cdef int send_down(self, uint64_t sender, Ref ref, object reason) except -1:
        cdef Py_ssize_t mark
        if self.link_state != UP:
            return 0
        mark = self.begin_envelope(DOWN, None)
        put_varint(&self.out, ref.id)
        self.put_reason(mark, reason)
        return self.end_envelope_of(sender, mark, None)

    def writable(self):
        """The outlet has room again."""
        self.blocked = 0
        flush_link(self)

    def __repr__(self):
        return f"<Link to {self.node}, {self.state}>"


cdef inline uint64_t incarnation_of(object dest) except? 0:
    """Of the peer's life that ``dest`` belongs to; 0 for a name, which any life may have."""
    if type(dest) is Pid:
        return (<Pid>dest).incarnation
    return (<Ref>dest).incarnation if type(dest) is Ref else 0


cdef tuple failure_code(object error):
    """How the exception of a failed call travels: as a code and what belongs to it."""
    if type(error) is ServerExited:
        return "exited", error.reason
    if type(error) is NoProcessError:
        return "noproc", None
    if isinstance(error, ClusterError) and getattr(errors, type(error).__name__, None) is type(error):
        try:
            if len(encode(error.args)) <= REASON_BYTES_MAX:
                return "error", (type(error).__name__, error.args)
        except Exception:
            pass
    return "refused", (type(error).__name__, text_of(str, error))


cdef str text_of(object form, object value):
    """The str or repr of what cannot be sent as it is: never fails, never long."""
    try:
        return form(value)[:REASON_TEXT_MAX].encode("utf-8", "replace").decode()
    except Exception:
        return f"<{type(value).__name__}>"


cdef object failure_error(str code, object detail, object server):
    """The exception for a FAIL envelope; TypeError or ValueError when the peer sent nonsense."""
    if code == "exited":
        return ServerExited(server, detail)
    if code == "noproc":
        return NoProcessError(server)
    if code == "refused":
        kind, text = detail
        return CallRefused(server, kind, text)
    if code == "error" and type(detail) is tuple:
        name, fields = detail
        cls = getattr(errors, name, None)
        if isinstance(cls, type) and issubclass(cls, ClusterError):
            return cls(*fields)
    return InternalError(f"unknown failure {code!r} from {server!r}")


# --- sessions up and down

cdef Link open_link(Scheduler scheduler, str node):
    """A pending link to ``node``: what is sent to it waits for ``link_up``."""
    cdef Link link = Link.__new__(Link)
    if node in scheduler.links:
        raise InternalError(f"there is a link to {node} already")
    link.scheduler = scheduler
    link.node = node
    link.unborn = []
    link.waiting = collections.deque()
    link.held = {}
    link.parts = {}
    link.window_bytes = WINDOW_BYTES_MIN
    link.calls = {}
    link.linked = {}
    link.unlinking = {}
    link.watching = {}
    link.watched = {}
    scheduler.links[node] = link
    return link


cdef int link_up(Scheduler scheduler, Link link, Outlet outlet, uint64_t epoch,
                 bytes source, uint64_t incarnation) except -1:
    """The session is agreed: send what waited for it, except to processes of another life of the peer."""
    cdef bytes envelope
    cdef char* at
    cdef Py_ssize_t mark
    if link.link_state != PENDING:
        raise InternalError(f"{link!r} cannot come up")
    if epoch in scheduler.epochs:
        raise InternalError(f"epoch {epoch} is in use")
    link.link_state = UP
    link.outlet = outlet
    link.epoch = epoch
    link.source = source
    link.incarnation = incarnation
    link.waiting_bytes = 0
    scheduler.epochs[epoch] = link
    unborn, link.unborn = link.unborn, []
    for addressee, sender, envelope in unborn:
        if addressee and addressee != incarnation:
            continue
        if link.out.used == 0:
            reserve(&link.out, HEADER_BYTES)
            link.out.used = HEADER_BYTES
        mark = link.out.used
        at = reserve(&link.out, len(envelope))
        memcpy(at, <const char*>envelope, len(envelope))
        link.out.used += len(envelope)
        link.sent_count += 1
        if len(envelope) > LANE_BYTES or (link.lanes is not None and sender in link.lanes):
            divert(link, sender, mark)
        elif link.out.used >= FRAME_BYTES_FLUSH:
            cut(link)
    fail_past(scheduler, link)
    link.soil()


cdef int fail_past(Scheduler scheduler, Link link) except -1:
    """What was asked of processes of an earlier life of the peer cannot come."""
    cdef Call call
    for call in list(link.calls.values()):
        if link.is_past(call.server):
            call.fail_with(NoProcessError(call.server))
    for entry in list(link.linked):
        if link.is_past(entry[1]):
            del link.linked[entry]
            scheduler.exit_signal(scheduler.find(entry[0]), entry[1], NoProcess(), True)
    for ref, (watcher, what) in list(link.watching.items()):
        if link.is_past(what):
            fire_down(scheduler, link, ref, NoProcess())
    return 0


cdef int fire_down(Scheduler scheduler, Link link, Ref ref, object reason) except -1:
    cdef Process watcher
    entry = link.watching.pop(ref, None)
    if entry is None:
        return 0
    watcher = scheduler.find(entry[0])
    if watcher is not None and watcher.bonds.monitors.pop(ref, None) is not None:
        scheduler.down(watcher, ref, entry[1], reason)
    return 0


cdef int link_down(Scheduler scheduler, Link link, object reason) except -1:
    """The session is over: NoConnection to links and monitors across it, its calls fail, what waited is dropped."""
    cdef Call call
    cdef Process process
    if link.link_state == DOWN_FOR_GOOD:
        return 0
    link.link_state = DOWN_FOR_GOOD
    if scheduler.links.get(link.node) is link:
        del scheduler.links[link.node]
    scheduler.epochs.pop(link.epoch, None)
    lost = NoConnection(link.node)
    for call in list(link.calls.values()):
        call.fail_with(NoConnectionError(link.node, "it went down before the reply" if reason is None else str(reason)))
    for local, pid in list(link.linked):
        scheduler.exit_signal(scheduler.find(local), pid, lost, True)
    for ref in list(link.watching):
        fire_down(scheduler, link, ref, lost)
    for ref, local in link.watched.items():
        process = scheduler.find(local)
        if process is not None and process.bonds is not None and process.bonds.watchers is not None:
            process.bonds.watchers.pop(ref, None)
    link.calls = {}
    link.linked = {}
    link.unlinking = {}
    link.watching = {}
    link.watched = {}
    link.waiting.clear()
    link.unborn = []
    link.lanes = None
    link.parts = {}
    link.waiting_bytes = link.lanes_bytes = link.parts_bytes = 0
    if not link.writing:
        shrink(link)
    link.outlet = None
    release(link)
