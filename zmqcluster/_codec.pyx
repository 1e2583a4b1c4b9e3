# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=False
"""Values to bytes and back: msgpack, with extension types for what msgpack lacks (see _extensions.py).

    {"n": 7}         81 a1 6e 07              a map of one pair, a string of one byte, a small number
    ("a", [])        c7 04 01 92 a1 61 90     extension of 4 bytes, number 1 (tuple), an array of two
    Pid(node, 1, 2)  c7 .. 05 a8 ........ 01 02

Rules: exact types only, so a value comes back as what it was; a registered class (see _messages.py) or EncodeError.
One value has one form: the shortest head that fits, extensions with an 8-bit length if that fits and else 32 bits,
sets sorted by the bytes of their elements; so values of equal types and parts have equal bytes on every node.
The decoder takes any well-formed msgpack. It trusts no length: what is announced is compared with the bytes that are
left before anything is allocated, so memory stays within a constant times the input; and every malformed input is a
DecodeError with the offset of the innermost value that could not be read. ``_reference.py`` is the same, plainly.
"""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next, PyDict_SetItem, PyDict_Size
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.list cimport PyList_GET_SIZE, PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport INT32_MIN, UINT32_MAX, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

from zmqcluster._ids cimport Pid, Ref, new_pid, new_ref

from zmqcluster import _messages
from zmqcluster._extensions import FROM_PAYLOAD, TO_PAYLOAD
from zmqcluster._messages import message, register_message, register_str
from zmqcluster._paths import describe, path_to_problem
from zmqcluster.constants import BUFFER_BYTES_MAX, DEPTH_MAX, MESSAGE_BYTES_MAX
from zmqcluster.errors import DecodeError, EncodeError, FrameTooLarge

__all__ = ["decode", "decode_varint", "encode", "encode_varint", "message", "register_message", "register_str"]


cdef extern from *:
    """
    /* The UTF-8 form of a str, NULL when it has none; no error stays set. */
    static inline const char *zc_utf8(PyObject *text, Py_ssize_t *size_bytes) {
        if (PyUnicode_IS_COMPACT_ASCII(text)) {
            *size_bytes = PyUnicode_GET_LENGTH(text);
            return (const char *)PyUnicode_1BYTE_DATA(text);
        }
        const char *bytes = PyUnicode_AsUTF8AndSize(text, size_bytes);
        if (bytes == NULL) PyErr_Clear();
        return bytes;
    }
    static inline void zc_copy_few(char *to, const char *from, size_t size_bytes) {
        if (size_bytes > 16) memcpy(to, from, size_bytes);
        else if (size_bytes >= 8) { memcpy(to, from, 8); memcpy(to + size_bytes - 8, from + size_bytes - 8, 8); }
        else if (size_bytes >= 4) { memcpy(to, from, 4); memcpy(to + size_bytes - 4, from + size_bytes - 4, 4); }
        else while (size_bytes--) *to++ = *from++;
    }
    static inline int zc_same(const char *one, const char *other, size_t size_bytes) {
        if (size_bytes > 16) return memcmp(one, other, size_bytes) == 0;
        if (size_bytes >= 8) {
            size_t last = size_bytes - 8;
            return zc_load64(one) == zc_load64(other) && zc_load64(one + last) == zc_load64(other + last);
        }
        if (size_bytes >= 4) {
            size_t last = size_bytes - 4;
            return zc_load32(one) == zc_load32(other) && zc_load32(one + last) == zc_load32(other + last);
        }
        while (size_bytes--) if (*one++ != *other++) return 0;
        return 1;
    }
    static inline int zc_is_ascii(const char *bytes, size_t size_bytes) {
        uint64_t all = 0;
        if (size_bytes >= 8) {
            const char *last = bytes + size_bytes - 8;
            for (; bytes < last; bytes += 8) all |= zc_load64(bytes);
            all |= zc_load64(last);
        } else if (size_bytes >= 4) all = zc_load32(bytes) | zc_load32(bytes + size_bytes - 4);
        else while (size_bytes--) all |= (uint8_t)*bytes++;
        return (all & 0x8080808080808080ULL) == 0;
    }
    /* The str of UTF-8 bytes, None when they are not UTF-8; no error stays set. */
    static inline PyObject *zc_text(const char *bytes, Py_ssize_t size_bytes) {
        PyObject *text;
        if (size_bytes > 1 && zc_is_ascii(bytes, size_bytes)) {
            text = PyUnicode_New(size_bytes, 127);
            if (text != NULL) zc_copy_few((char *)PyUnicode_1BYTE_DATA(text), bytes, size_bytes);
            return text;
        }
        text = PyUnicode_DecodeUTF8(bytes, size_bytes, NULL);
        if (text == NULL) { PyErr_Clear(); Py_RETURN_NONE; }
        return text;
    }
    static inline void zc_store_double(char *at, double value) {
        uint64_t bits; memcpy(&bits, &value, 8); zc_store64(at, bits);
    }
    static inline double zc_double(uint64_t bits) { double value; memcpy(&value, &bits, 8); return value; }
    static inline double zc_float(uint32_t bits) { float value; memcpy(&value, &bits, 4); return value; }
    /* Bytes that follow the tags 0xc0 to 0xdf before their content: a number, or a length. */
    static const uint8_t ZC_FIXED_BYTES[32] = {
        0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4};
    """
    const char* utf8 "zc_utf8"(str text, Py_ssize_t* size_bytes) noexcept
    object text_or_none "zc_text"(const char* at, Py_ssize_t size_bytes)
    void copy_few "zc_copy_few"(char* to, const char* start, size_t size_bytes) noexcept  # memcpy, mostly of few bytes
    bint same "zc_same"(const char* one, const char* other, size_t size_bytes) noexcept
    void store_double "zc_store_double"(char* at, double value) noexcept
    double double_of "zc_double"(uint64_t bits) noexcept
    double float_of "zc_float"(uint32_t bits) noexcept
    const uint8_t* FIXED_BYTES "ZC_FIXED_BYTES"

cdef enum:
    BUFFER_BYTES_MIN = 256
    SPARE_BYTES_MAX = 65536
    LAYOUTS_WIDE = 64  # see open_extension
    KEY_SLOTS = 2048  # so many that the few dozen keys of an application seldom share one

cdef int depth_max = DEPTH_MAX
cdef size_t message_bytes_max = MESSAGE_BYTES_MAX
# A link's buffer, up to its own limit, and one message on top.
cdef size_t room_bytes_max = BUFFER_BYTES_MAX + MESSAGE_BYTES_MAX
cdef dict scalar_writers = TO_PAYLOAD
cdef dict scalar_readers = FROM_PAYLOAD
cdef set str_types = _messages.STR_TYPES


@cython.final
cdef class Layout:
    """A registered class, as both directions need it at hand."""

    cdef object shape
    cdef object cls
    cdef tuple names  # None for an enum
    cdef bytes head  # array of tag and fields, up to the first field
    cdef dict members  # of an enum, by name; None for a message
    cdef bint by_name


cdef dict layouts_by_type = {}
cdef dict layouts_by_tag = {}


cdef Layout layout_of(object shape):
    """The layout of a class met for the first time."""
    cdef Layout layout = Layout.__new__(Layout)
    layout.shape = shape
    layout.cls = shape.cls
    layout.names = shape.names
    layout.by_name = shape.by_name
    if layout.names is None:
        layout.members = shape.cls._member_map_
    layout.head = message_head(shape.tag, 1 if layout.names is None else len(layout.names))
    layouts_by_type[shape.cls] = layouts_by_tag[shape.tag] = layout
    return layout


include "_encode.pxi"
include "_decode.pxi"
