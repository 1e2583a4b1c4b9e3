# What the peer sends: frames into envelopes, envelopes into messages and signals.

cdef class Broken(Exception):
    """The peer broke the framing: its session ends."""


cdef int acknowledge_links(Scheduler scheduler) except -1:
    """Confirm what was received lately; the node calls this at each tick."""
    cdef Link link
    for link in list(scheduler.links.values()):
        acknowledge(link)


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
    if link.mark and bytes_acked >= link.mark:
        adapt(link)
    if not link.blocked and has_more(link):
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
        if at[4] == PART:
            receive_part(scheduler, link, at + 4, length)
        else:
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


@cython.final
cdef class Assembly:
    """The parts that came of an envelope."""
    cdef Buffer buffer

    def __dealloc__(self):
        free(self.buffer.bytes)


cdef int receive_part(Scheduler scheduler, Link link, const char* at, uint32_t length) except -1:
    cdef Cursor cursor
    cdef uint64_t number = 0
    cdef Assembly assembly
    cdef size_t part_bytes
    cursor.start = at
    cursor.at = at + 1
    cursor.end = at + length
    try:
        get_varint(&cursor, &number)
    except DecodeError as error:
        raise Broken(f"a malformed part: {error}")
    if cursor.end - cursor.at < 2:
        raise Broken("an empty part")
    is_last = cursor.at[0] != 0
    part_bytes = cursor.end - cursor.at - 1
    if link.parts_bytes + part_bytes > PARTS_BYTES_MAX:
        raise Broken(f"more than {PARTS_BYTES_MAX} bytes of unfinished envelopes")
    assembly = link.parts.get(number)
    if assembly is None:
        assembly = link.parts[number] = Assembly.__new__(Assembly)
    if assembly.buffer.used + part_bytes > MESSAGE_BYTES_MAX:
        raise Broken(f"an envelope of more than {MESSAGE_BYTES_MAX} bytes in parts")
    memcpy(reserve(&assembly.buffer, part_bytes), cursor.at + 1, part_bytes)
    assembly.buffer.used += part_bytes
    link.parts_bytes += part_bytes
    if is_last:
        del link.parts[number]
        link.parts_bytes -= assembly.buffer.used
        receive_envelope(scheduler, link, assembly.buffer.bytes, <uint32_t>assembly.buffer.used)
        link.received_count += 1
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
                receive_message(scheduler, link, &cursor, kind, process, id == 0 and not by_name)
            else:
                receive_signal(scheduler, link, &cursor, kind, process, id)
    except MailboxFull:
        pass                                        # counted where it was refused; a sender far away is not told
    except (DecodeError, TypeError, ValueError) as error:
        scheduler.tell("on_undecodable", (link.node, error))
    except Exception as error:                      # the next envelope is another process' business
        scheduler.complain("zmqcluster: an envelope failed", error)
    return 0


cdef int receive_message(Scheduler scheduler, Link link, Cursor* cursor, int kind, Process process,
                         bint to_node) except -1:
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
        if to_node:
            call.server = scheduler.node
            scheduler.tell("on_node_call", (call,))
        elif process is None:
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
    cdef uint64_t number = 0, unlink_number = 0, ref_number = 0
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
        elif (process.id, sender) not in link.unlinking:
            if process.bond().links is None:
                process.bonds.links = {}
            process.bonds.links[sender] = None
            link.linked[(process.id, sender)] = None
    elif kind == UNLINK:
        get_varint(cursor, &unlink_number)
        link.linked.pop((id, sender), None)
        if process is not None and process.bonds is not None and process.bonds.links is not None:
            process.bonds.links.pop(sender, None)
        link.send_unlinked(id, sender, unlink_number)
    elif kind == UNLINKED:
        get_varint(cursor, &unlink_number)
        if link.unlinking.get((id, sender)) == unlink_number:
            del link.unlinking[(id, sender)]
    elif kind == EXIT_LINKED:
        reason = decode_value(cursor, 0)
        link.linked.pop((id, sender), None)
        scheduler.exit_signal(process, sender, reason, True)
    elif kind == MONITOR:
        get_varint(cursor, &ref_number)
        ref = new_ref(link.node, link.incarnation, ref_number)
        if process is None:
            link.send_down(id, ref, NoProcess())
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
    return link.end_envelope_of(gone.id, mark, sender)
