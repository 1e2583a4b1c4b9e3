# The link to one peer: a session's outgoing half, and what depends on it.
#
# A frame is one ZeroMQ message, a batch of envelopes (big endian):
#
#    u8 DATA | u64 epoch | u64 sequence | u64 bytes acked | u64 envelopes acked | envelope ...
#    envelope:  u32 length | u8 kind | destination | ...      length counts what follows it
#
# The destination is the varint id of a process or, with a flag in the kind, its encoded name or the id of an alias.
# A frame whose sequence is 0 only acknowledges. A frame of an unknown epoch, or from another connection than the
# session's, is dropped and counted; a gap ends the session. So ZeroMQ's silent redelivery and loss never reach a
# process.
#
# Flow: ``out`` collects the turn's envelopes and is sent as the turn's last act, or when it is long. While the socket
# is full or a window is unacknowledged, ``waiting`` holds what was cut off; above BUFFER_BYTES_MAX a sender gets
# LinkBusy. That is for messages, calls and casts: signals (LINK, EXIT, DOWN, ...) always go in, for somebody may wait
# for ever for one that is lost, and their number is bounded by that of links and monitors. What is acknowledged is
# written into a frame when it is handed over, not when it is cut: the one that waits longest must not say the least.

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
    UNLINK = 9
    EXIT_LINKED = 10    # + id of the sender, reason
    EXIT = 11           # + id of the sender or 0, reason: exit(pid, reason)
    MONITOR = 12        # + id of the watcher, ref
    DEMONITOR = 13      # ref: no destination
    DOWN = 14           # ref, reason
    BY_NAME = 64
    BY_ALIAS = 128

cdef enum LinkState:
    PENDING
    UP
    DOWN_FOR_GOOD

cdef uint64_t WINDOW_BYTES = constants.WINDOW_BYTES
cdef uint64_t ACK_BYTES = constants.ACK_BYTES
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
    cdef uint64_t waiting_bytes
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
        return self.out.used + self.waiting_bytes

    cdef inline bint is_full(self) noexcept:
        return self.out.used + self.waiting_bytes > BUFFER_BYTES_MAX

    # --- writing envelopes
    cdef Py_ssize_t begin_envelope(self, int kind, object dest) except -1:
        """Start an envelope to a Pid or (name, node); return where, so that an error can take it back."""
        cdef Py_ssize_t mark
        if self.link_state == DOWN_FOR_GOOD:
            raise NoConnectionError(self.node, "the link went down")
        if self.writing:                            # code of a value that is being encoded; its envelope comes first
            raise LinkBusy(self.node, "a value being sent sends itself")
        if kind <= CAST_METHOD and self.is_full():
            raise LinkBusy(self.node, f"{self.out.used + self.waiting_bytes} bytes wait")
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

    cdef int end_envelope(self, Py_ssize_t mark, object dest) except -1:
        cdef size_t length = self.out.used - mark - 4
        self.writing = 0
        if length > MESSAGE_BYTES_MAX:
            self.out.used = mark
            raise FrameTooLarge(length, MESSAGE_BYTES_MAX)
        store32(self.out.bytes + mark, <uint32_t>length)
        if self.link_state == PENDING:
            self.unborn.append((incarnation_of(dest),
                                self.out.bytes[mark:mark + 4 + length]))
            self.waiting_bytes += length + 4
            self.out.used = 0
            return 0
        self.sent_count += 1
        self.soil()
        if self.out.used >= FRAME_BYTES_FLUSH:
            self.flush()
            if self.out.used >= FRAME_BYTES_FLUSH:
                self.cut()
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
        return self.end_envelope(mark, dest)

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
        return self.end_envelope(mark, dest)

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

    cdef int send_outcome(self, Call call) except -1:
        """Reply to a call of the peer, with a value or an error. The server is not to blame for what goes wrong."""
        if self.link_state != UP:
            return 0
        if call.state != REPLIED:
            return self.send_failure(call.number, call.value)
        if self.is_full():
            return self.send_failure(call.number, LinkBusy(self.scheduler.node, "there is no room for the reply"))
        try:
            return self.send_reply(call.number, call.value)
        except Exception as error:
            self.scheduler.tell("on_bad_reply", (call.server, error))
            return self.send_failure(call.number, error)

    cdef int send_reply(self, uint64_t number, object value) except -1:
        cdef Py_ssize_t mark = self.begin_envelope(REPLY, None)
        put_varint(&self.out, number)
        self.put(mark, value)
        return self.end_envelope(mark, None)

    cdef int send_failure(self, uint64_t number, object error) except -1:
        cdef Py_ssize_t mark
        code, detail = failure_code(error)
        if self.link_state != UP:
            return 0
        mark = self.begin_envelope(FAIL, None)
        put_varint(&self.out, number)
        self.put(mark, code)
        self.put_reason(mark, detail)
        return self.end_envelope(mark, None)

    cdef int send_link(self, Process process, Pid pid) except -1:
        cdef Py_ssize_t mark
        if self.is_past(pid):
            self.scheduler.exit_signal(process, pid, NoProcess(), True)
            return 0
        mark = self.begin_envelope(LINK, pid)
        put_varint(&self.out, process.id)
        self.linked[(process.id, pid)] = None
        return self.end_envelope(mark, pid)

    cdef int send_unlink(self, Process process, Pid pid) except -1:
        cdef Py_ssize_t mark
        if self.linked.pop((process.id, pid), NOTHING) is NOTHING:
            return 0
        mark = self.begin_envelope(UNLINK, pid)
        put_varint(&self.out, process.id)
        return self.end_envelope(mark, pid)

    cdef int send_exit(self, uint64_t sender, Pid pid, object reason, bint linked) except -1:
        cdef Py_ssize_t mark
        if self.is_past(pid) or self.link_state == DOWN_FOR_GOOD:
            return 0
        if linked:
            self.linked.pop((sender, pid), None)
        mark = self.begin_envelope(EXIT_LINKED if linked else EXIT, pid)
        put_varint(&self.out, sender)
        self.put_reason(mark, reason)
        return self.end_envelope(mark, pid)

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
        return self.end_envelope(mark, dest)

    cdef int send_demonitor(self, Ref ref) except -1:
        cdef Py_ssize_t mark
        if self.watching.pop(ref, None) is None:
            return 0
        mark = self.begin_envelope(DEMONITOR, None)
        put_varint(&self.out, ref.id)
        return self.end_envelope(mark, None)

    cdef int send_down(self, Ref ref, object reason) except -1:
        cdef Py_ssize_t mark
        if self.link_state != UP:
            return 0
        mark = self.begin_envelope(DOWN, None)
        put_varint(&self.out, ref.id)
        self.put_reason(mark, reason)
        return self.end_envelope(mark, None)

    # --- sending frames
    cdef inline bint may_send(self) noexcept:
        return self.link_state == UP and not self.blocked and self.sent_bytes - self.acked_bytes < WINDOW_BYTES

    cdef int write_header(self, char* at, uint64_t sequence) except -1:
        at[0] = <char>DATA
        store64(at + 1, self.epoch)
        store64(at + 9, sequence)
        store64(at + 17, self.received_bytes)
        store64(at + 25, self.received_count)
        return 0

    cdef int cut(self) except -1:
        """Move a full buffer to the frames that wait."""
        self.sequence += 1
        self.write_header(self.out.bytes, self.sequence)
        self.waiting.append(self.out.bytes[:self.out.used])
        self.waiting_bytes += self.out.used
        self.shrink()
        return 0

    cdef int shrink(self) except -1:
        self.out.used = 0
        if self.out.room > 4 * FRAME_BYTES_FLUSH:
            free(self.out.bytes)
            self.out.bytes = NULL
            self.out.room = 0
        return 0

    cdef int flush(self) except -1:
        """Send what waits and what is in the buffer, as far as socket and window allow.

        An outlet that raises has lost the connection's order, so the session is to end.
        """
        if self.flushing or self.writing or self.link_state != UP:
            return 0
        self.flushing = 1
        try:
            self.send_frames()
        except Exception as error:
            self.blocked = 1
            self.scheduler.tell("on_link_broken", (self, f"the outlet failed: {error!r}"))
        finally:
            self.flushing = 0
        return 0

    cdef int send_frames(self) except -1:
        cdef bytes frame
        while self.waiting and self.may_send():
            frame = <bytes>self.waiting[0]
            self.write_header(<char*>frame, load64(<const char*>frame + 9))     # nobody else has seen these bytes
            if not self.push(frame, len(frame)):
                return 0
            if self.link_state != UP:
                return 0
            self.waiting.popleft()
            self.waiting_bytes -= len(frame)
        if not self.waiting and self.out.used > HEADER_BYTES and self.may_send():
            self.write_header(self.out.bytes, self.sequence + 1)
            if self.push(self.out.bytes, self.out.used):
                self.sequence += 1
                self.shrink()
        return self.confirm()

    cdef bint push(self, const char* frame, size_t frame_bytes) except -1:
        cdef Outlet outlet = self.outlet
        cdef uint64_t received = self.received_bytes
        if outlet.push(frame, frame_bytes):
            self.sent_bytes += frame_bytes
            self.acknowledged_bytes = received
            return True
        self.blocked = 1
        return False

    cdef int acknowledge(self) except -1:
        """Say what we have dispatched in a frame of its own, when no other frame will soon."""
        try:
            self.confirm()
        except Exception as error:
            self.blocked = 1
            self.scheduler.tell("on_link_broken", (self, f"the outlet failed: {error!r}"))
        return 0

    cdef int confirm(self) except -1:
        cdef char header[HEADER_BYTES]
        cdef Outlet outlet = self.outlet
        cdef uint64_t received = self.received_bytes
        if self.link_state != UP or self.blocked or self.acknowledged_bytes == received:
            return 0
        self.write_header(header, 0)
        if outlet.push(header, HEADER_BYTES):
            self.acknowledged_bytes = received
        else:
            self.blocked = 1
        return 0

    def writable(self):
        """The outlet has room again."""
        self.blocked = 0
        self.flush()

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


# --- the scheduler's side of links: sessions up and down, frames in

cdef class Broken(Exception):
    """The peer broke the framing: its session ends."""


cdef Link open_link(Scheduler scheduler, str node):
    """A pending link to ``node``: what is sent to it waits for ``link_up``."""
    cdef Link link = Link.__new__(Link)
    if node in scheduler.links:
        raise InternalError(f"there is a link to {node} already")
    link.scheduler = scheduler
    link.node = node
    link.unborn = []
    link.waiting = collections.deque()
    link.calls = {}
    link.linked = {}
    link.watching = {}
    link.watched = {}
    scheduler.links[node] = link
    return link


cdef int link_up(Scheduler scheduler, Link link, Outlet outlet, uint64_t epoch,
                 bytes source, uint64_t incarnation) except -1:
    """The session is agreed: send what waited for it, except to processes of another life of the peer."""
    cdef bytes envelope
    cdef char* at
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
    for addressee, envelope in unborn:
        if addressee and addressee != incarnation:
            continue
        if link.out.used == 0:
            reserve(&link.out, HEADER_BYTES)
            link.out.used = HEADER_BYTES
        at = reserve(&link.out, len(envelope))
        memcpy(at, <const char*>envelope, len(envelope))
        link.out.used += len(envelope)
        link.sent_count += 1
        if link.out.used >= FRAME_BYTES_FLUSH:
            link.cut()
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
    link.watching = {}
    link.watched = {}
    link.waiting.clear()
    link.unborn = []
    link.waiting_bytes = 0
    if not link.writing:
        link.shrink()
    link.outlet = None


cdef int acknowledge_links(Scheduler scheduler) except -1:
    """Confirm what was received lately; the node calls this at each tick."""
    cdef Link link
    for link in list(scheduler.links.values()):
        link.acknowledge()


cdef int receive_frame(Scheduler scheduler, const char* source, size_t source_bytes,
                       const char* frame, size_t frame_bytes) except -1:
    """One frame from a peer: data for the processes here, or something for the driver of sessions."""
    cdef Link link
    if frame_bytes == 0 or frame[0] != DATA:
        scheduler.tell("on_control", (source[:source_bytes], frame[:frame_bytes]))
        return 0
    link = scheduler.epochs.get(load64(frame + 1)) if frame_bytes >= HEADER_BYTES else None
    if link is None or <size_t>len(link.source) != source_bytes \
            or memcmp(<const char*>link.source, source, source_bytes):
        scheduler.foreign_frames += 1
        return 0
    try:
        receive_data(scheduler, link, frame, frame_bytes)
    except Broken as problem:
        scheduler.tell("on_link_broken", (link, str(problem)))
    return 0


cdef int receive_data(Scheduler scheduler, Link link, const char* frame, size_t frame_bytes) except -1:
    cdef uint64_t sequence = load64(frame + 9)
    cdef uint64_t bytes_acked = load64(frame + 17)
    cdef uint64_t count_acked = load64(frame + 25)
    cdef const char* at = frame + HEADER_BYTES
    cdef const char* end = frame + frame_bytes
    cdef uint32_t length
    if link.link_state != UP:
        return 0
    if not link.acked_bytes <= bytes_acked <= link.sent_bytes or not link.acked_count <= count_acked <= link.sent_count:
        raise Broken(f"acknowledges {bytes_acked} bytes, we sent {link.sent_bytes}")
    link.acked_bytes = bytes_acked
    link.acked_count = count_acked
    if not link.blocked and (link.waiting or link.out.used > HEADER_BYTES):
        link.soil()
    if sequence == 0:
        return 0
    if sequence != link.received_sequence + 1:
        raise Broken(f"frame {sequence} follows frame {link.received_sequence}")
    link.received_sequence = sequence
    while at < end:
        if end - at < 5:
            raise Broken("a truncated envelope")
        length = load32(at)
        if length < 1 or <size_t>(end - at - 4) < length:
            raise Broken("an envelope longer than its frame")
        receive_envelope(scheduler, link, at + 4, length)
        link.received_count += 1
        at += 4 + length
        if scheduler.ready.used and link.received_count & 63 == 0:
            scheduler.run_ready()                   # few messages alive at a time: that spares the garbage collector
        if link.link_state != UP:
            return 0
    link.received_bytes += frame_bytes
    if link.received_bytes - link.acknowledged_bytes >= ACK_BYTES:
        link.soil()
    return 0


cdef int receive_envelope(Scheduler scheduler, Link link, const char* at, uint32_t length) except -1:
    cdef Cursor cursor
    cdef uint8_t kind = <uint8_t>at[0]
    cdef Process process = None
    cdef uint64_t id = 0
    cdef bint by_name = kind & BY_NAME != 0
    cursor.start = at
    cursor.at = at + 1
    cursor.end = at + length
    cdef bint by_alias = kind & BY_ALIAS != 0
    kind &= 63
    try:
        if kind == REPLY or kind == FAIL:
            receive_outcome(link, &cursor, kind)
        elif kind == DOWN or kind == DEMONITOR:
            receive_watch(scheduler, link, &cursor, kind)
        elif by_alias:
            if kind != SEND:
                raise DecodeError(0, f"an envelope of kind {kind} for an alias")
            get_varint(&cursor, &id)
            scheduler.send_to_alias(new_ref(scheduler.node, scheduler.incarnation, id), decode_value(&cursor, 0))
        else:
            if by_name:
                process = scheduler.names.get(get_text(&cursor))
            else:
                get_varint(&cursor, &id)
                process = scheduler.find_any(id)
            if process is not None and process.dying and kind != LINK and kind != MONITOR:
                process = None
            if SEND <= kind <= CAST_METHOD:
                receive_message(scheduler, link, &cursor, kind, process)
            else:
                receive_signal(scheduler, link, &cursor, kind, process, id)
    except MailboxFull:
        pass                                        # counted where it was refused; a sender far away is not told
    except (DecodeError, TypeError, ValueError) as error:
        scheduler.tell("on_undecodable", (link.node, error))
    except Exception as error:                      # the next envelope is another process' business
        scheduler.complain("zmqcluster: an envelope failed", error)
    return 0


cdef int receive_message(Scheduler scheduler, Link link, Cursor* cursor, int kind, Process process) except -1:
    cdef Call call
    cdef Cast cast
    if kind == SEND:
        if process is not None:
            process.deliver(decode_value(cursor, 0))
    elif kind == CAST or kind == CAST_METHOD:
        cast = Cast.__new__(Cast)
        if kind == CAST_METHOD:
            cast.method = get_text(cursor)
        cast.request = decode_value(cursor, 0)
        if kind == CAST_METHOD:
            cast.request = <tuple?>cast.request
            cast.keywords = as_keywords(decode_value(cursor, 0))
        if process is not None:
            process.deliver(cast)
    else:
        call = Call.__new__(Call)
        call.scheduler = scheduler
        call.link = link
        call.incoming = 1
        get_varint(cursor, &call.number)
        try:
            if kind == CALL_METHOD:
                call.method = get_text(cursor)
            call.request = decode_value(cursor, 0)
            if kind == CALL_METHOD:
                call.request = <tuple?>call.request
                call.keywords = as_keywords(decode_value(cursor, 0))
        except Exception as error:
            call.fail_with(error)
            raise
        if process is None:
            call.fail_with(NoProcessError(None))
        else:
            call.server = process.behaviour.name if process.behaviour is not None else None
            process.deliver(call)
    return 0


cdef dict as_keywords(object value):
    """Keyword arguments from the wire: None, or a dict whose keys are strings."""
    if value is None:
        return None
    for key in <dict?>value:
        if type(key) is not str:
            raise TypeError(f"a keyword is a string, not {key!r}")
    return <dict>value


cdef int receive_outcome(Link link, Cursor* cursor, int kind) except -1:
    cdef uint64_t number = 0
    cdef Call call
    get_varint(cursor, &number)
    call = link.calls.get(number)
    if call is None:
        return 0                                    # it timed out: a late reply vanishes
    try:
        if kind == REPLY:
            call.reply_with(decode_value(cursor, 0))
        else:
            code = decode_value(cursor, 0)
            call.fail_with(failure_error(code, decode_value(cursor, 0), call.server))
    except Exception as error:
        call.fail_with(error)
        raise
    return 0


cdef int receive_watch(Scheduler scheduler, Link link, Cursor* cursor, int kind) except -1:
    cdef uint64_t number = 0
    cdef Process process
    cdef Ref ref
    get_varint(cursor, &number)
    if kind == DOWN:
        return fire_down(scheduler, link, new_ref(scheduler.node, scheduler.incarnation, number),
                         decode_value(cursor, 0))
    ref = new_ref(link.node, link.incarnation, number)
    id = link.watched.pop(ref, None)
    if id is not None:
        process = scheduler.find(id)
        if process is not None and process.bonds is not None and process.bonds.watchers is not None:
            process.bonds.watchers.pop(ref, None)
    return 0


cdef int receive_signal(Scheduler scheduler, Link link, Cursor* cursor, int kind, Process process,
                        uint64_t id) except -1:
    cdef uint64_t number = 0, ref_number = 0
    cdef Pid sender
    cdef Ref ref
    get_varint(cursor, &number)
    sender = new_pid(link.node, link.incarnation, number)
    if kind == EXIT:
        scheduler.exit_signal(process, sender, decode_value(cursor, 0), False)
        return 0
    if kind == LINK:
        if process is None:
            gone = new_pid(scheduler.node, scheduler.incarnation, id)
            answer_gone(link, gone, sender)
        else:
            if process.bond().links is None:
                process.bonds.links = {}
            process.bonds.links[sender] = None
            link.linked[(process.id, sender)] = None
    elif kind == UNLINK:
        link.linked.pop((id, sender), None)
        if process is not None and process.bonds is not None and process.bonds.links is not None:
            process.bonds.links.pop(sender, None)
    elif kind == EXIT_LINKED:
        reason = decode_value(cursor, 0)
        link.linked.pop((id, sender), None)
        scheduler.exit_signal(process, sender, reason, True)
    elif kind == MONITOR:
        get_varint(cursor, &ref_number)
        ref = new_ref(link.node, link.incarnation, ref_number)
        if process is None:
            link.send_down(ref, NoProcess())
        else:
            if process.bond().watchers is None:
                process.bonds.watchers = {}
            process.bonds.watchers[ref] = sender
            link.watched[ref] = process.id
    else:
        raise DecodeError(0, f"unknown envelope kind {kind}")
    return 0


cdef int answer_gone(Link link, Pid gone, Pid sender) except -1:
    """A process of the peer linked to one that is not there."""
    cdef Py_ssize_t mark = link.begin_envelope(EXIT_LINKED, sender)
    put_varint(&link.out, gone.id)
    link.put_reason(mark, NoProcess())
    return link.end_envelope(mark, sender)
