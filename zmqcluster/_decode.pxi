"""Bytes to values: ``get_x`` reads a value whose tag byte was at ``head``; ``cursor.at`` is behind the tag.

Order of checks, the same in _reference.py: the bytes fixed by the tag, the depth, what is announced, then the parts.
"""

# Dict keys and node names repeat: each slot holds one of the short strings that hash to it. Written only under the GIL.
cdef list key_cache = [None] * KEY_SLOTS


def decode(data):
    """Return the value whose bytes ``data`` is.

    Raises:
        DecodeError: it is not exactly one well-formed value; ``offset`` is where the innermost malformed one begins.
    """
    cdef bytes held = data if type(data) is bytes else bytes(memoryview(data))
    cdef Cursor cursor
    cursor.start = cursor.at = PyBytes_AS_STRING(held)
    cursor.end = cursor.start + PyBytes_GET_SIZE(held)
    value = decode_value(&cursor, 0)
    if cursor.at != cursor.end:
        malformed(&cursor, cursor.at, f"{cursor.end - cursor.at} bytes after the value")
    return value


def encode_varint(uint64_t value):
    """Return the bytes of ``put_varint``."""
    cdef char room[10]
    cdef Buffer buffer
    buffer.bytes = room
    buffer.used = 0
    buffer.room = sizeof(room)
    put_varint(&buffer, value)
    return PyBytes_FromStringAndSize(buffer.bytes, buffer.used)


def decode_varint(bytes data not None):
    """Return the number whose bytes ``data`` is.

    Raises:
        DecodeError: it is not exactly one number of at most 64 bits.
    """
    cdef uint64_t value = 0
    cdef Cursor cursor
    cursor.start = cursor.at = PyBytes_AS_STRING(data)
    cursor.end = cursor.start + PyBytes_GET_SIZE(data)
    get_varint(&cursor, &value)
    if cursor.at != cursor.end:
        malformed(&cursor, cursor.at, f"{cursor.end - cursor.at} bytes after the value")
    return value


cdef int malformed(Cursor* cursor, const char* at, object problem) except -1:
    raise DecodeError(at - cursor.start, problem)


cdef int cut_off(Cursor* cursor, const char* head, size_t size_bytes) except -1:
    return malformed(cursor, head, f"cut off: {size_bytes} bytes needed, {cursor.end - cursor.at} left")


cdef inline int need(Cursor* cursor, const char* head, size_t size_bytes) except -1:
    return cut_off(cursor, head, size_bytes) if <size_t>(cursor.end - cursor.at) < size_bytes else 0


cdef inline int check_nesting(Cursor* cursor, const char* head, int depth) except -1:
    return too_deep(cursor, head) if depth >= depth_max else 0


cdef int too_deep(Cursor* cursor, const char* head) except -1:
    return malformed(cursor, head, f"nested deeper than {depth_max}")


cdef inline uint64_t take_fixed(Cursor* cursor, const char* head, uint8_t tag) except? 0xffffffffffffffff:
    """The number that follows a tag from 0xc0 to 0xdf; 0 where none does."""
    cdef size_t size_bytes = FIXED_BYTES[tag - 0xc0]
    need(cursor, head, size_bytes)
    cdef const char* at = cursor.at
    cursor.at += size_bytes
    if size_bytes == 1:
        return <uint8_t>at[0]
    if size_bytes == 2:
        return load16(at)
    if size_bytes == 4:
        return load32(at)
    return load64(at) if size_bytes == 8 else 0


cdef object decode_value(Cursor* cursor, int depth):
    cdef const char* head = cursor.at
    cdef uint8_t tag
    if head >= cursor.end:
        malformed(cursor, head, "a value is missing")
    tag = <uint8_t>head[0]
    cursor.at += 1
    if tag < 0x80:
        return <long>tag
    if tag >= 0xe0:
        return <long><int8_t>tag
    if tag < 0x90:
        return get_dict(cursor, head, tag & 15, depth)
    if tag < 0xa0:
        return get_list(cursor, head, tag & 15, depth)
    if tag < 0xc0:
        return get_str(cursor, head, tag & 31)
    return get_tagged(cursor, head, tag, take_fixed(cursor, head, tag), depth)


cdef object get_tagged(Cursor* cursor, const char* head, uint8_t tag, uint64_t number, int depth):
    if tag == 0xc0:
        return None
    elif tag == 0xc2:
        return False
    elif tag == 0xc3:
        return True
    elif tag == 0xcb:
        return double_of(number)
    elif tag == 0xcc or tag == 0xcd or tag == 0xce or tag == 0xcf:
        return number
    elif tag == 0xd9 or tag == 0xda or tag == 0xdb:
        return get_str(cursor, head, number)
    elif tag == 0xc7 or tag == 0xc8 or tag == 0xc9:
        return get_extension(cursor, head, number, depth)
    elif tag == 0xc4 or tag == 0xc5 or tag == 0xc6:
        return get_bytes(cursor, head, number)
    elif tag == 0xd0:
        return <long long><int8_t>number
    elif tag == 0xd1:
        return <long long><int16_t>number
    elif tag == 0xd2:
        return <long long><int32_t>number
    elif tag == 0xd3:
        return <long long><int64_t>number
    elif tag == 0xdc or tag == 0xdd:
        return get_list(cursor, head, number, depth)
    elif tag == 0xde or tag == 0xdf:
        return get_dict(cursor, head, number, depth)
    elif tag == 0xca:
        return float_of(<uint32_t>number)
    elif tag == 0xc1:
        malformed(cursor, head, "0xc1 is the tag of nothing")
    return get_extension(cursor, head, 1 << (tag - 0xd4), depth)  # 0xd4 to 0xd8


cdef str get_str(Cursor* cursor, const char* head, size_t size_bytes):
    need(cursor, head, size_bytes)
    text = text_or_none(cursor.at, size_bytes)
    if text is None:
        malformed(cursor, head, "not UTF-8")
    cursor.at += size_bytes
    return <str>text


cdef bytes get_bytes(Cursor* cursor, const char* head, size_t size_bytes):
    need(cursor, head, size_bytes)
    cursor.at += size_bytes
    return PyBytes_FromStringAndSize(cursor.at - size_bytes, size_bytes)


cdef list get_list(Cursor* cursor, const char* head, size_t count, int depth):
    cdef size_t i
    check_nesting(cursor, head, depth)
    need(cursor, head, count)
    cdef list parts = PyList_New(count)
    for i in range(count):
        part = decode_value(cursor, depth + 1)
        Py_INCREF(part)
        PyList_SET_ITEM(parts, i, part)
    return parts


cdef tuple get_parts(Cursor* cursor, size_t count, int depth):
    cdef size_t i
    cdef tuple parts = PyTuple_New(count)
    for i in range(count):
        part = decode_value(cursor, depth)
        Py_INCREF(part)
        PyTuple_SET_ITEM(parts, i, part)
    return parts


cdef dict get_dict(Cursor* cursor, const char* head, size_t count, int depth):
    cdef size_t i
    cdef uint8_t tag
    cdef dict value = {}
    check_nesting(cursor, head, depth)
    need(cursor, head, 2 * count)
    for i in range(count):
        tag = <uint8_t>cursor.at[0] if cursor.at < cursor.end else 0
        if 0xa0 <= tag < 0xc0:
            key = get_short_key(cursor, tag & 31)
            PyDict_SetItem(value, key, decode_value(cursor, depth + 1))
        else:
            put_odd_key(value, cursor, depth + 1)
    return value


cdef int put_odd_key(dict value, Cursor* cursor, int depth) except -1:
    """Read a pair whose key is no short string: any hashable value may be one, and its hash is anybody's code."""
    cdef const char* head = cursor.at
    key = decode_value(cursor, depth)
    try:
        hash(key)
    except Exception:
        malformed(cursor, head, f"{type(key).__name__} cannot be a key")
    part = decode_value(cursor, depth)
    try:
        value[key] = part
    except Exception:
        malformed(cursor, head, f"{type(key).__name__} cannot be a key")
    return 0


cdef inline uint32_t slot_of(const char* at, size_t size_bytes) noexcept:
    """Mixes all bytes up to 16, and of longer keys the first 8 and the last 8."""
    cdef uint64_t first, last
    if size_bytes >= 8:
        first = load64(at)
        last = load64(at + size_bytes - 8)
    elif size_bytes >= 4:
        first = load32(at)
        last = load32(at + size_bytes - 4)
    elif size_bytes > 0:
        first = <uint8_t>at[0]
        last = (<uint64_t><uint8_t>at[size_bytes >> 1] << 8) | <uint8_t>at[size_bytes - 1]
    else:
        return 0
    return <uint32_t>(((first * 0x9E3779B97F4A7C15ULL) ^ ((last + size_bytes) * 0xC2B2AE3D27D4EB4FULL)) >> 53)


cdef str get_short_key(Cursor* cursor, size_t size_bytes):
    """The str at a fixstr's tag, taken from the cache where it is there."""
    cdef const char* head = cursor.at
    cdef Py_ssize_t cached_bytes
    cdef uint32_t slot
    cursor.at += 1
    need(cursor, head, size_bytes)
    slot = slot_of(cursor.at, size_bytes)
    cached = key_cache[slot]
    if cached is not None:
        text = utf8(<str>cached, &cached_bytes)
        if <size_t>cached_bytes == size_bytes and same(text, cursor.at, size_bytes):
            cursor.at += size_bytes
            return <str>cached
    key = get_str(cursor, head, size_bytes)
    key_cache[slot] = key
    return key


cdef str get_text(Cursor* cursor):
    """A value that must be a str."""
    cdef const char* head = cursor.at
    if head >= cursor.end:
        malformed(cursor, head, "a value is missing")
    cdef uint8_t tag = <uint8_t>head[0]
    if 0xa0 <= tag < 0xc0:
        return get_short_key(cursor, tag & 31)
    if not 0xd9 <= tag <= 0xdb:
        malformed(cursor, head, "not a str")
    cursor.at += 1
    return get_str(cursor, head, take_fixed(cursor, head, tag))


cdef uint64_t get_unsigned(Cursor* cursor) except? 0xffffffffffffffff:
    """A value that must be an unsigned number of 64 bits."""
    cdef const char* head = cursor.at
    if head >= cursor.end:
        malformed(cursor, head, "a value is missing")
    cdef uint8_t tag = <uint8_t>head[0]
    if tag >= 0x80 and not 0xcc <= tag <= 0xcf:
        malformed(cursor, head, "not an unsigned number")
    cursor.at += 1
    return tag if tag < 0x80 else take_fixed(cursor, head, tag)


cdef size_t get_count(Cursor* cursor) except? 0xffffffffffffffff:
    """The head of a value that must be an array; its parts are known to fit."""
    cdef const char* head = cursor.at
    cdef size_t count
    if head >= cursor.end:
        malformed(cursor, head, "a value is missing")
    cdef uint8_t tag = <uint8_t>head[0]
    if not 0x90 <= tag < 0xa0 and tag != 0xdc and tag != 0xdd:
        malformed(cursor, head, "not an array")
    cursor.at += 1
    count = tag & 15 if tag < 0xa0 else take_fixed(cursor, head, tag)
    need(cursor, head, count)
    return count


cdef object get_extension(Cursor* cursor, const char* head, size_t size_bytes, int depth):
    cdef Cursor payload
    cdef int code
    need(cursor, head, size_bytes + 1)
    code = <int8_t>cursor.at[0]
    payload.start = cursor.start
    payload.at = cursor.at + 1
    payload.end = cursor.at = payload.at + size_bytes
    value = get_payload(&payload, head, code, depth)
    if payload.at != payload.end:
        malformed(&payload, head, f"{payload.end - payload.at} bytes too many in extension {code}")
    return value


cdef object get_payload(Cursor* payload, const char* head, int code, int depth):
    if code == 1:
        check_nesting(payload, head, depth)
        return get_parts(payload, get_count(payload), depth + 1)
    if code == 5 or code == 6:
        return get_identifier(payload, code)
    if code == 10 or code == 11:
        return get_message(payload, head, code, depth)
    if code == 2:
        return get_set(payload, head, depth)
    if code == 3:
        return frozenset(get_set(payload, head, depth))
    return get_scalar(payload, head, code)


cdef object get_identifier(Cursor* payload, int code):
    cdef str node = get_text(payload)
    cdef uint64_t incarnation = get_unsigned(payload)
    cdef uint64_t id = get_unsigned(payload)
    return new_pid(node, incarnation, id) if code == 5 else new_ref(node, incarnation, id)


cdef object get_scalar(Cursor* payload, const char* head, int code):
    cdef bytes content
    if code != 4 and code not in scalar_readers:
        malformed(payload, head, f"unknown extension {code}")
    content = get_bytes(payload, head, payload.end - payload.at)
    if code == 4:
        if not content:
            malformed(payload, head, "a number without digits")
        return int.from_bytes(content, "big", signed=True)
    try:
        return scalar_readers[code](content)
    except ValueError as error:
        malformed(payload, head, str(error))


cdef set get_set(Cursor* payload, const char* head, int depth):
    cdef size_t count, i
    cdef set value = set()
    cdef const char* element_head
    check_nesting(payload, head, depth)
    count = get_count(payload)
    for i in range(count):
        element_head = payload.at
        element = decode_value(payload, depth + 1)
        try:
            value.add(element)
        except Exception:
            malformed(payload, element_head, f"{type(element).__name__} cannot be in a set")
    return value


cdef object get_message(Cursor* payload, const char* head, int code, int depth):
    cdef size_t count
    cdef const char* tag_head
    cdef Layout layout
    check_nesting(payload, head, depth)
    count = get_count(payload)
    tag_head = payload.at
    tag = get_text(payload)
    found = layouts_by_tag.get(tag)
    if found is None and tag in _messages.SHAPES_BY_TAG:
        found = layout_of(_messages.SHAPES_BY_TAG[tag])
    if found is None:
        malformed(payload, tag_head, f"unknown tag {tag!r}")
    layout = <Layout>found
    if (layout.names is None) != (code == 10):
        malformed(payload, tag_head, f"{tag!r} is another kind of tag")
    if count != 1 + (1 if layout.names is None else <size_t>len(layout.names)):
        malformed(payload, head, f"wrong number of fields for {tag!r}: {<Py_ssize_t>count - 1}")
    if layout.names is None:
        return get_member(payload, layout)
    return build_message(payload, head, layout, get_parts(payload, count - 1, depth + 1))


cdef object get_member(Cursor* payload, Layout layout):
    cdef const char* head = payload.at
    name = get_text(payload)
    member = layout.members.get(name)
    if member is None:
        malformed(payload, head, f"{layout.shape.tag!r} has no member {name!r}")
    return member


cdef object build_message(Cursor* payload, const char* head, Layout layout, tuple values):
    try:
        return layout.shape.build(values) if layout.by_name else layout.cls(*values)
    except Exception as error:
        malformed(payload, head, layout.shape.refusal(error))


cdef int put_varint(Buffer* buffer, uint64_t value) except -1:
    """Append ``value`` in 7-bit groups, lowest first; all but the last have the top bit set (LEB128)."""
    cdef char* at = reserve(buffer, 10)
    while value >= 0x80:
        at[0] = <char>(value | 0x80)
        at += 1
        value >>= 7
    at[0] = <char>value
    buffer.used = at + 1 - buffer.bytes
    return 0


cdef int get_varint(Cursor* cursor, uint64_t* value) except -1:
    cdef const char* head = cursor.at
    cdef uint64_t result = 0
    cdef uint8_t byte
    cdef int shift
    for shift in range(0, 70, 7):
        if cursor.at >= cursor.end:
            malformed(cursor, head, "a number is cut off")
        byte = <uint8_t>cursor.at[0]
        cursor.at += 1
        result |= <uint64_t>(byte & 0x7f) << shift
        if byte < 0x80:
            if shift == 63 and byte > 1:
                break
            value[0] = result
            return 0
    return malformed(cursor, head, "a number exceeds 64 bits")
