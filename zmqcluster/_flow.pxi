# What leaves a link, in which order and how fast.
#
#    envelopes of the turn ──> out ──when long──> waiting ──┐
#                                                           ├──in turns, while the window is open──> outlet
#    a long envelope, and what its sender ──> lane ──parts──┘
#    says after it
#
# ``out`` is sent as the turn's last act, or when it is long. An envelope above LANE_BYTES goes into a lane of its
# sender, and leaves in parts between the frames of the others: so a large message delays nobody else, and whoever
# sent it is still heard in order.
#
# The window is what may be sent and not yet acknowledged. It opens as long as acknowledgements come about as soon as
# the soonest did, at first twofold and, once that was too much, by an eighth; it closes when they take QUEUE_NS longer:
# what queues on a slow path is what others wait behind. Source: Vegas, LEDBAT. The soonest is measured anew every
# PROBE_NS, with next to nothing on the way. Source: BBR.
#
# A process whose messages wait in more than BUSY_BYTES is held: it does not run again before half of them have left.
# Source: busy_dist_port of Erlang. Nobody is held for calls, which wait for their reply anyway, or for signals.
#
# A frame gets its sequence, and what it acknowledges, when it is handed over: it must not say less than an earlier one.

cdef uint64_t WINDOW_BYTES_MAX = constants.WINDOW_BYTES_MAX
cdef uint64_t WINDOW_BYTES_MIN = constants.WINDOW_BYTES_MIN
cdef uint64_t ACK_BYTES = constants.ACK_BYTES
cdef uint64_t LANE_BYTES = constants.LANE_BYTES
cdef uint64_t BUSY_BYTES = constants.BUSY_BYTES
cdef uint64_t LANES_BYTES_MAX = constants.BUFFER_BYTES_MAX + constants.MESSAGE_BYTES_MAX    # then nobody may send
cdef uint64_t PARTS_BYTES_MAX = LANES_BYTES_MAX + constants.MESSAGE_BYTES_MAX   # one more was let in below it
cdef uint64_t QUEUE_NS = constants.QUEUE_NS
cdef uint64_t PROBE_NS = constants.PROBE_NS

cdef enum:
    PART_HEAD_BYTES_MAX = HEADER_BYTES + 4 + 1 + 10 + 1     # of a frame with one part: length, kind, lane, whether last


@cython.final
cdef class Lane:
    """A long envelope, and what its sender said after it."""
    cdef uint64_t sender
    cdef object envelopes               # a deque, each with its length
    cdef size_t gone_bytes              # of the first: what was sent of it, in parts, without its length
    cdef uint64_t lane_bytes


cdef int divert(Link link, uint64_t sender, Py_ssize_t mark) except -1:
    """Move the envelope that was written at ``mark`` to its sender's lane."""
    cdef size_t size_bytes = link.out.used - mark
    cdef Lane lane
    if link.lanes is None:
        link.lanes = {}
    lane = link.lanes.get(sender)
    if lane is None:
        lane = link.lanes[sender] = Lane.__new__(Lane)
        lane.sender = sender
        lane.envelopes = collections.deque()
    lane.envelopes.append(link.out.bytes[mark:link.out.used])
    lane.lane_bytes += size_bytes
    link.lanes_bytes += size_bytes
    link.out.used = mark
    if mark == HEADER_BYTES:
        shrink(link)
    return 0


cdef bint is_lane_full(Link link) except -1:
    cdef Lane lane = link.lanes.get(running.id) if running is not None else None
    return link.lanes_bytes > LANES_BYTES_MAX or (lane is not None and lane.lane_bytes > BUFFER_BYTES_MAX)


cdef int cut(Link link) except -1:
    """Move a full buffer to the frames that wait."""
    link.waiting.append(link.out.bytes[:link.out.used])
    link.waiting_bytes += link.out.used
    return shrink(link)


cdef int shrink(Link link) except -1:
    link.out.used = 0
    if link.out.room > 4 * FRAME_BYTES_FLUSH:
        free(link.out.bytes)
        link.out.bytes = NULL
        link.out.room = 0
    return 0


# --- frames out
cdef inline bint may_send(Link link) noexcept:
    return link.link_state == UP and not link.blocked and link.sent_bytes - link.acked_bytes < link.window_bytes


cdef inline bint has_more(Link link):
    return link.out.used > HEADER_BYTES or link.lanes is not None or len(link.waiting) > 0


cdef int flush_link(Link link) except -1:
    """Send what waits and what is in the buffer, as far as outlet and window allow.

    An outlet that raises has lost the connection's order, so the session is to end.
    """
    if link.flushing or link.writing or link.link_state != UP:
        return 0
    link.flushing = 1
    try:
        send_frames(link)
        confirm(link)
    except Exception as error:
        link.blocked = 1
        link.scheduler.tell("on_link_broken", (link, f"the outlet failed: {error!r}"))
    finally:
        link.flushing = 0
    if link.held:
        release(link)
    return 0


cdef int send_frames(Link link) except -1:
    cdef bint is_shared
    while may_send(link):
        is_shared = link.out.used > HEADER_BYTES or len(link.waiting) > 0
        if link.lanes is not None and (link.lane_turn or not is_shared):
            send_from_lane(link)
            link.lane_turn = 0
        elif is_shared:
            send_shared(link)
            link.lane_turn = 1
        else:
            break
    return 0


cdef int send_shared(Link link) except -1:
    cdef bytes frame
    if link.waiting:
        frame = <bytes>link.waiting[0]
        write_header(link, <char*>frame, link.sequence + 1)     # nobody else has seen these bytes
        if push(link, frame, len(frame), NULL, 0) and link.link_state == UP:
            link.waiting.popleft()
            link.waiting_bytes -= len(frame)
    else:
        write_header(link, link.out.bytes, link.sequence + 1)
        if push(link, link.out.bytes, link.out.used, NULL, 0):
            shrink(link)
    return 0


cdef int send_from_lane(Link link) except -1:
    """Send a part of the next lane's first envelope; or, where that is short, it and those that follow."""
    cdef Lane lane = next(iter(link.lanes.values()))
    cdef bytes first = <bytes>lane.envelopes[0]
    cdef size_t left_bytes = len(first) - 4 - lane.gone_bytes
    cdef size_t part_bytes = link.window_bytes // 4
    if lane.gone_bytes == 0 and left_bytes + 4 <= part_bytes:
        return send_whole(link, lane, part_bytes)
    part_bytes = min(part_bytes, left_bytes)
    if not push_part(link, lane, <const char*>first + 4 + lane.gone_bytes, part_bytes, part_bytes == left_bytes):
        return 0
    if link.lanes is None:                          # the link went down inside push
        return 0
    lane.gone_bytes += part_bytes
    leave_lane(link, lane, part_bytes)
    if part_bytes == left_bytes:
        lane.envelopes.popleft()
        lane.gone_bytes = 0
        leave_lane(link, lane, 4)
    return next_lane(link, lane)


cdef bint push_part(Link link, Lane lane, const char* part, size_t part_bytes, bint is_last) except -1:
    cdef char head[PART_HEAD_BYTES_MAX]
    cdef Buffer buffer
    buffer.bytes = head
    buffer.used = HEADER_BYTES + 5
    buffer.room = PART_HEAD_BYTES_MAX
    put_varint(&buffer, lane.sender)
    head[buffer.used] = <char>is_last
    buffer.used += 1
    store32(head + HEADER_BYTES, <uint32_t>(buffer.used - HEADER_BYTES - 4 + part_bytes))
    head[HEADER_BYTES + 4] = PART
    write_header(link, head, link.sequence + 1)
    return push(link, head, buffer.used, part, part_bytes)


cdef int send_whole(Link link, Lane lane, size_t bytes_max) except -1:
    cdef char head[HEADER_BYTES]
    cdef list envelopes = []
    cdef size_t total_bytes = 0
    cdef bytes body, envelope
    for envelope in lane.envelopes:
        if envelopes and total_bytes + len(envelope) > bytes_max:
            break
        envelopes.append(envelope)
        total_bytes += len(envelope)
    body = <bytes>envelopes[0] if len(envelopes) == 1 else b"".join(envelopes)
    write_header(link, head, link.sequence + 1)
    if not push(link, head, HEADER_BYTES, body, total_bytes) or link.lanes is None:
        return 0
    for envelope in envelopes:
        lane.envelopes.popleft()
    leave_lane(link, lane, total_bytes)
    return next_lane(link, lane)


cdef inline int leave_lane(Link link, Lane lane, size_t size_bytes) except -1:
    lane.lane_bytes -= size_bytes
    link.lanes_bytes -= size_bytes
    return 0


cdef int next_lane(Link link, Lane lane) except -1:
    """The lanes take turns; an empty one is gone."""
    del link.lanes[lane.sender]
    if lane.envelopes:
        link.lanes[lane.sender] = lane
    elif not link.lanes:
        link.lanes = None
    return 0


cdef int write_header(Link link, char* at, uint64_t sequence) except -1:
    at[0] = <char>DATA
    store64(at + 1, link.epoch)
    store64(at + 9, sequence)
    store64(at + 17, link.received_bytes)
    store64(at + 25, link.received_count)
    return 0


cdef bint push(Link link, const char* head, size_t head_bytes, const char* body, size_t body_bytes) except -1:
    """Hand over the next frame; return whether the outlet took it."""
    cdef Outlet outlet = link.outlet
    cdef uint64_t received = link.received_bytes
    if not (outlet.push_two(head, head_bytes, body, body_bytes) if body_bytes else outlet.push(head, head_bytes)):
        link.blocked = 1
        return False
    link.sequence += 1
    link.sent_bytes += head_bytes + body_bytes
    link.acknowledged_bytes = received
    if link.mark == 0 and link.sent_bytes - link.acked_bytes >= link.window_bytes:     # full: this is what is timed
        link.mark = link.sent_bytes
        link.marked_ns = link.scheduler.clock_ns()
    return True


# --- what was received
cdef int acknowledge(Link link) except -1:
    """Say what we have dispatched in a frame of its own, when no other frame will soon."""
    try:
        confirm(link)
    except Exception as error:
        link.blocked = 1
        link.scheduler.tell("on_link_broken", (link, f"the outlet failed: {error!r}"))
    return 0


cdef int confirm(Link link) except -1:
    cdef char header[HEADER_BYTES]
    cdef Outlet outlet = link.outlet
    cdef uint64_t received = link.received_bytes
    if link.link_state != UP or link.blocked or link.acknowledged_bytes == received:
        return 0
    write_header(link, header, 0)
    if outlet.push(header, HEADER_BYTES):
        link.acknowledged_bytes = received
    else:
        link.blocked = 1
    return 0


# --- how fast
cdef int adapt(Link link) except -1:
    """The acknowledgement that was timed has come: open the window, or close it a little."""
    cdef uint64_t now_ns = link.scheduler.clock_ns()
    cdef uint64_t delay_ns = now_ns - link.marked_ns
    link.mark = 0
    if link.probing or link.probe_ns == 0:
        link.probing = 0
        link.least_ns = delay_ns
        link.probe_ns = now_ns + PROBE_NS
    elif now_ns >= link.probe_ns:
        link.probing = 1
        link.window_bytes = WINDOW_BYTES_MIN
        return 0
    link.least_ns = min(link.least_ns, delay_ns)
    if delay_ns - link.least_ns <= QUEUE_NS:
        link.window_bytes += link.window_bytes // 8 if link.was_slow else link.window_bytes
        link.window_bytes = min(link.window_bytes, WINDOW_BYTES_MAX)
    else:
        link.was_slow = 1
        link.window_bytes = max(link.window_bytes // 2, link.window_bytes * QUEUE_NS // (delay_ns - link.least_ns))
        link.window_bytes = max(link.window_bytes, WINDOW_BYTES_MIN)
    return 0


# --- senders
cdef inline int throttle(Link link) except -1:
    """A message was written by the running process: hold it where too many wait."""
    if link.out.used + link.waiting_bytes <= BUSY_BYTES and link.lanes is None:
        return 0
    if running is None or running.id == 0 or running.unheld or not is_busy_for(link, running, BUSY_BYTES):
        return 0
    return hold(link, running)


cdef bint is_busy_for(Link link, Process process, uint64_t limit_bytes) except -1:
    cdef Lane lane
    if link.out.used + link.waiting_bytes > limit_bytes:
        return True
    lane = link.lanes.get(process.id) if link.lanes is not None else None
    return lane is not None and lane.lane_bytes > limit_bytes


cdef int hold(Link link, Process process) except -1:
    if process not in link.held:
        link.held[process] = None
        process.held += 1
    return 0


cdef int release(Link link) except -1:
    """Let those go on for whom half has left, or all whose link is gone."""
    cdef Process process
    for process in list(link.held):
        if process.ended or link.link_state == DOWN_FOR_GOOD or not is_busy_for(link, process, BUSY_BYTES // 2):
            del link.held[process]
            process.held -= 1
            if process.parked and not process.held:
                process.parked = 0
                link.scheduler.enqueue(process)
    return 0
