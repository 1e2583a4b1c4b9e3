"""Values to bytes: ``put`` writes any value at the end of a buffer, ``put_x`` one kind of it."""

ctypedef int (*unchecked_put)(Buffer* buffer, object value, int depth) noexcept

# Whether the last extension of a depth and a count had a long head. Only a guess: a wrong one costs a move of bytes.
cdef uint8_t guessed_wide[LAYOUTS_WIDE]
cdef object NOT_SET = object()
# A buffer kept from call to call of encode(); whoever takes it leaves an empty one.
cdef Buffer spare_buffer


def encode(value):
    """Return the bytes of ``value``.

    Raises:
        EncodeError: a part of it cannot be sent; the error names the path to that part.
        FrameTooLarge: it takes more than MESSAGE_BYTES_MAX bytes.
    """
    global spare_buffer
    cdef Buffer buffer = spare_buffer
    spare_buffer.bytes = NULL
    spare_buffer.used = spare_buffer.room = 0
    try:
        encode_value(&buffer, value, 0)
        return PyBytes_FromStringAndSize(buffer.bytes, buffer.used)
    finally:
        buffer.used = 0
        if spare_buffer.room == 0 and buffer.room <= SPARE_BYTES_MAX:
            spare_buffer = buffer
        else:
            free(buffer.bytes)


cdef int encode_value(Buffer* buffer, object value, int depth) except -1:
    """Append ``value``. After an error ``used`` is what it was, and an EncodeError names the path to the culprit."""
    cdef size_t start = buffer.used
    if (<unchecked_put>put)(buffer, value, depth) < 0:
        buffer.used = start
        return explain(value, depth)
    if buffer.used - start > message_bytes_max:
        size_bytes, buffer.used = buffer.used - start, start
        raise FrameTooLarge(size_bytes, message_bytes_max)
    return 0


cdef int explain(object value, int depth) except -1:
    """Raise the error that is set; where it is an EncodeError, with the path."""
    try:
        raise_what_is_set()
    except EncodeError as error:
        problem = error.problem
    raise EncodeError(path_to_problem(value, depth, fails), problem)


cdef int raise_what_is_set() except -1:
    return -1


def fails(value, int depth):
    """Whether ``value`` cannot be encoded by itself at ``depth``."""
    cdef Buffer buffer
    buffer.bytes = NULL
    buffer.used = buffer.room = 0
    try:
        put(&buffer, value, depth)
    except EncodeError:
        return True
    finally:
        free(buffer.bytes)
    return False


cdef int grow(Buffer* buffer, size_t need) except -1:
    cdef size_t total = buffer.used + need
    cdef size_t room = buffer.room * 2 if buffer.room else BUFFER_BYTES_MIN
    cdef char* grown
    if total > room_bytes_max:
        raise FrameTooLarge(total, room_bytes_max)
    while room < total:
        room *= 2
    grown = <char*>realloc(buffer.bytes, room)
    if grown == NULL:
        raise MemoryError
    buffer.bytes = grown
    buffer.room = room
    return 0


cdef int refuse(object problem) except -1:
    raise EncodeError("message", problem)


cdef int put(Buffer* buffer, object value, int depth) except -1:
    kind = type(value)
    if kind is str:
        return put_str(buffer, <str>value)
    if kind is int:
        return put_int(buffer, value)
    if kind is dict:
        return put_dict(buffer, <dict>value, depth)
    if kind is tuple:
        return put_tuple(buffer, <tuple>value, depth)
    if value is None:
        return put_byte(buffer, 0xc0)
    if kind is bool:
        return put_byte(buffer, 0xc3 if value is True else 0xc2)
    if kind is float:
        return put_float(buffer, value)
    if kind is list:
        return put_list(buffer, <list>value, depth)
    if kind is bytes:
        return put_bytes(buffer, <bytes>value)
    if kind is Pid:
        return put_identifier(buffer, 5, (<Pid>value).node, (<Pid>value).incarnation, (<Pid>value).id)
    if kind is Ref:
        return put_identifier(buffer, 6, (<Ref>value).node, (<Ref>value).incarnation, (<Ref>value).id)
    return put_other(buffer, value, kind, depth)


cdef int put_other(Buffer* buffer, object value, object kind, int depth) except -1:
    layout = layouts_by_type.get(kind)
    if layout is None and kind in _messages.SHAPES:
        layout = layout_of(_messages.SHAPES[kind])
    if layout is not None:
        return put_message(buffer, value, <Layout>layout, depth)
    if kind is set:
        return put_set(buffer, value, 2, len(value), depth)
    if kind is frozenset:
        return put_set(buffer, value, 3, len(value), depth)
    if kind in scalar_writers:
        return put_scalar(buffer, value, scalar_writers[kind])
    if kind in str_types:
        return put_str(buffer, <str>value)
    return refuse(describe(value))


cdef inline int put_byte(Buffer* buffer, uint8_t byte) except -1:
    reserve(buffer, 1)[0] = <char>byte
    buffer.used += 1
    return 0


cdef inline char* put_length(
    char* at, Py_ssize_t length, uint8_t short_tag, Py_ssize_t short_max, uint8_t tag8, uint8_t tag16,
) noexcept:
    """Write the shortest head with this length, in the tag or in 8 (if ``tag8``), 16, 32 bits; return its end."""
    if length <= short_max:
        at[0] = <char>(short_tag | length)
        return at + 1
    if tag8 and length <= 0xff:
        at[0] = <char>tag8
        at[1] = <char>length
        return at + 2
    if length <= 0xffff:
        at[0] = <char>tag16
        store16(at + 1, <uint16_t>length)
        return at + 3
    at[0] = <char>(tag16 + 1)
    store32(at + 1, <uint32_t>length)
    return at + 5


cdef inline int put_count(Buffer* buffer, Py_ssize_t count, uint8_t short_tag, uint8_t tag16) except -1:
    if count > UINT32_MAX:
        refuse(f"{count} elements are too many")
    cdef char* at = reserve(buffer, 5)
    buffer.used += put_length(at, count, short_tag, 15, 0, tag16) - at
    return 0


cdef int put_str(Buffer* buffer, str value) except -1:
    cdef Py_ssize_t size_bytes
    cdef const char* text = utf8(value, &size_bytes)
    cdef char* at
    if text == NULL:
        return refuse("a str with a lone surrogate has no UTF-8 form")
    at = reserve(buffer, size_bytes + 5)
    at = put_length(at, size_bytes, 0xa0, 31, 0xd9, 0xda)
    copy_few(at, text, size_bytes)
    buffer.used = at + size_bytes - buffer.bytes
    return 0


cdef int put_bytes(Buffer* buffer, bytes value) except -1:
    cdef Py_ssize_t size_bytes = PyBytes_GET_SIZE(value)
    cdef char* at = reserve(buffer, size_bytes + 5)
    at = put_length(at, size_bytes, 0, -1, 0xc4, 0xc5)
    memcpy(at, PyBytes_AS_STRING(value), size_bytes)
    buffer.used = at + size_bytes - buffer.bytes
    return 0


cdef int put_float(Buffer* buffer, object value) except -1:
    cdef char* at = reserve(buffer, 9)
    at[0] = <char>0xcb
    store_double(at + 1, PyFloat_AS_DOUBLE(value))
    buffer.used += 9
    return 0


cdef int put_int(Buffer* buffer, object value) except -1:
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow != 0:
        return put_big_int(buffer, value)
    if number >= 0:
        return put_unsigned(buffer, number)
    cdef char* at = reserve(buffer, 9)
    if number >= -32:
        at[0] = <char>number
        buffer.used += 1
    elif number >= -0x80:
        at[0] = <char>0xd0
        at[1] = <char>number
        buffer.used += 2
    elif number >= -0x8000:
        at[0] = <char>0xd1
        store16(at + 1, <uint16_t>number)
        buffer.used += 3
    elif number >= INT32_MIN:
        at[0] = <char>0xd2
        store32(at + 1, <uint32_t>number)
        buffer.used += 5
    else:
        at[0] = <char>0xd3
        store64(at + 1, <uint64_t>number)
        buffer.used += 9
    return 0


cdef inline int put_unsigned(Buffer* buffer, uint64_t number) except -1:
    cdef char* at = reserve(buffer, 9)
    if number < 0x80:
        at[0] = <char>number
        buffer.used += 1
    elif number <= 0xff:
        at[0] = <char>0xcc
        at[1] = <char>number
        buffer.used += 2
    elif number <= 0xffff:
        at[0] = <char>0xcd
        store16(at + 1, <uint16_t>number)
        buffer.used += 3
    elif number <= UINT32_MAX:
        at[0] = <char>0xce
        store32(at + 1, <uint32_t>number)
        buffer.used += 5
    else:
        at[0] = <char>0xcf
        store64(at + 1, number)
        buffer.used += 9
    return 0


cdef int put_big_int(Buffer* buffer, object value) except -1:
    if 0 <= value <= 0xffffffffffffffff:
        return put_unsigned(buffer, value)
    # One bit for the sign; -2**71 needs no more bytes than 2**71 - 1.
    bits = (value if value >= 0 else ~value).bit_length()
    return put_payload(buffer, 4, value.to_bytes(bits // 8 + 1, "big", signed=True))


cdef int put_scalar(Buffer* buffer, object value, tuple writer) except -1:
    code, write = writer
    try:
        payload = write(value)
    except ValueError as error:
        return refuse(str(error))
    return put_payload(buffer, code, payload)


cdef int put_payload(Buffer* buffer, int code, bytes payload) except -1:
    cdef size_t size_bytes = PyBytes_GET_SIZE(payload)
    cdef bint wide = size_bytes > 0xff
    cdef size_t start = open_extension(buffer, wide)
    memcpy(reserve(buffer, size_bytes), PyBytes_AS_STRING(payload), size_bytes)
    buffer.used += size_bytes
    close_extension(buffer, code, start, wide)
    return 0


cdef int put_identifier(Buffer* buffer, int code, str node, uint64_t incarnation, uint64_t id) except -1:
    cdef size_t start = open_extension(buffer, False)
    put_str(buffer, node)
    put_unsigned(buffer, incarnation)
    put_unsigned(buffer, id)
    close_extension(buffer, code, start, False)
    return 0


cdef inline size_t open_extension(Buffer* buffer, bint wide) except 0:
    """Leave space for the head of an extension, the long one if ``wide``; return where its payload starts."""
    reserve(buffer, 6)
    buffer.used += 6 if wide else 3
    return buffer.used


cdef inline int close_extension(Buffer* buffer, int code, size_t start, bint wide) except -1:
    """Write the head, moving the payload if ``wide`` was a wrong guess; return whether the head is the long one."""
    cdef size_t size_bytes = buffer.used - start
    cdef size_t head = start - (6 if wide else 3)
    cdef char* at
    if wide != (size_bytes > 0xff):
        reserve(buffer, 3)
        wide = not wide
        buffer.used = head + (6 if wide else 3) + size_bytes
        memmove(buffer.bytes + buffer.used - size_bytes, buffer.bytes + start, size_bytes)
    at = buffer.bytes + head
    if wide:
        at[0] = <char>0xc9
        store32(at + 1, <uint32_t>size_bytes)
        at[5] = <char>code
    else:
        at[0] = <char>0xc7
        at[1] = <char>size_bytes
        at[2] = <char>code
    return wide


cdef inline int check_depth(int depth) except -1:
    return refuse(f"nested deeper than {depth_max}, or it contains itself") if depth >= depth_max else 0


cdef inline uint8_t* guess_for(int depth, Py_ssize_t count) noexcept:
    """The guess for a tuple, refined by what its place in a message tells: streams of messages look alike."""
    return &guessed_wide[((depth & 7) << 3) | (count & 7)]


cdef int put_tuple(Buffer* buffer, tuple value, int depth) except -1:
    cdef Py_ssize_t count = PyTuple_GET_SIZE(value), i
    cdef uint8_t* guess = guess_for(depth, count)
    cdef bint wide = guess[0]
    cdef size_t start
    check_depth(depth)
    start = open_extension(buffer, wide)
    put_count(buffer, count, 0x90, 0xdc)
    for i in range(count):
        put(buffer, value[i], depth + 1)
    guess[0] = close_extension(buffer, 1, start, wide)
    return 0


# The list, dict and fields below may belong to anybody: a tzinfo or a property among the values is code that runs here
# and could change them. So each part is held while it is written, and the count is checked.
cdef int put_list(Buffer* buffer, list value, int depth) except -1:
    cdef Py_ssize_t count = PyList_GET_SIZE(value), i
    check_depth(depth)
    put_count(buffer, count, 0x90, 0xdc)
    for i in range(count):
        if i >= PyList_GET_SIZE(value):
            break
        put(buffer, value[i], depth + 1)
    if PyList_GET_SIZE(value) != count:
        refuse("it changed while it was being encoded")
    return 0


cdef int put_dict(Buffer* buffer, dict value, int depth) except -1:
    cdef Py_ssize_t count = PyDict_Size(value), written = 0, at = 0
    cdef PyObject* key_borrowed
    cdef PyObject* part_borrowed
    check_depth(depth)
    put_count(buffer, count, 0x80, 0xde)
    while PyDict_Next(value, &at, &key_borrowed, &part_borrowed):
        key = <object>key_borrowed
        part = <object>part_borrowed
        put(buffer, key, depth + 1)
        put(buffer, part, depth + 1)
        written += 1
    if written != count:
        refuse("it changed while it was being encoded")
    return 0


cdef int put_set(Buffer* buffer, object value, int code, Py_ssize_t count, int depth) except -1:
    cdef size_t start, elements
    cdef list pieces = []
    check_depth(depth)
    start = open_extension(buffer, False)
    put_count(buffer, count, 0x90, 0xdc)
    elements = buffer.used
    for element in value:
        put(buffer, element, depth + 1)
        pieces.append(PyBytes_FromStringAndSize(buffer.bytes + elements, buffer.used - elements))
        buffer.used = elements
    # The order of a set differs from process to process; that of its bytes does not.
    pieces.sort()
    for piece in pieces:
        memcpy(reserve(buffer, PyBytes_GET_SIZE(piece)), PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        buffer.used += PyBytes_GET_SIZE(piece)
    close_extension(buffer, code, start, False)
    return 0


cdef bytes message_head(str tag, int parts):
    cdef Buffer buffer
    buffer.bytes = NULL
    buffer.used = buffer.room = 0
    try:
        put_count(&buffer, parts + 1, 0x90, 0xdc)
        put_str(&buffer, tag)
        return PyBytes_FromStringAndSize(buffer.bytes, buffer.used)
    finally:
        free(buffer.bytes)


cdef int put_message(Buffer* buffer, object value, Layout layout, int depth) except -1:
    cdef size_t head_bytes = PyBytes_GET_SIZE(layout.head)
    cdef uint8_t* guess = guess_for(depth, PyBytes_GET_SIZE(layout.head))
    cdef bint wide = guess[0]
    cdef size_t start
    check_depth(depth)
    start = open_extension(buffer, wide)
    memcpy(reserve(buffer, head_bytes), PyBytes_AS_STRING(layout.head), head_bytes)
    buffer.used += head_bytes
    if layout.names is None:
        put_member(buffer, value, layout)
    else:
        put_fields(buffer, value, layout, depth)
    guess[0] = close_extension(buffer, 10 if layout.names is None else 11, start, wide)
    return 0


cdef int put_fields(Buffer* buffer, object value, Layout layout, int depth) except -1:
    for name in layout.names:
        part = getattr(value, name, NOT_SET)
        if part is NOT_SET:
            return refuse(f"its field {name!r} is not set")
        put(buffer, part, depth + 1)
    return 0


cdef int put_member(Buffer* buffer, object value, Layout layout) except -1:
    name = value._name_
    if layout.members.get(name) is not value:  # a combination of flags
        return refuse(f"{value!r} is no single member of its enum")
    return put_str(buffer, name)
