"""Values to bytes and back, for the modules of the core: see _codec.pyx.

A writer owns its Buffer and frees ``bytes``. After an error of ``encode_value`` the Buffer is as it was before.
"""
from libc.stdint cimport uint16_t, uint32_t, uint64_t


cdef extern from *:
    """
    #ifndef ZMQCLUSTER_BIG_ENDIAN
    #define ZMQCLUSTER_BIG_ENDIAN
    #include <stdint.h>
    #include <string.h>
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define zc_swap16(value) (value)
    #define zc_swap32(value) (value)
    #define zc_swap64(value) (value)
    #else
    #define zc_swap16(value) __builtin_bswap16(value)
    #define zc_swap32(value) __builtin_bswap32(value)
    #define zc_swap64(value) __builtin_bswap64(value)
    #endif
    static inline void zc_store16(char *at, uint16_t value) { value = zc_swap16(value); memcpy(at, &value, 2); }
    static inline void zc_store32(char *at, uint32_t value) { value = zc_swap32(value); memcpy(at, &value, 4); }
    static inline void zc_store64(char *at, uint64_t value) { value = zc_swap64(value); memcpy(at, &value, 8); }
    static inline uint16_t zc_load16(const char *at) { uint16_t value; memcpy(&value, at, 2); return zc_swap16(value); }
    static inline uint32_t zc_load32(const char *at) { uint32_t value; memcpy(&value, at, 4); return zc_swap32(value); }
    static inline uint64_t zc_load64(const char *at) { uint64_t value; memcpy(&value, at, 8); return zc_swap64(value); }
    #endif
    """
    void store16 "zc_store16"(char* at, uint16_t value) noexcept nogil
    void store32 "zc_store32"(char* at, uint32_t value) noexcept nogil
    void store64 "zc_store64"(char* at, uint64_t value) noexcept nogil
    uint16_t load16 "zc_load16"(const char* at) noexcept nogil
    uint32_t load32 "zc_load32"(const char* at) noexcept nogil
    uint64_t load64 "zc_load64"(const char* at) noexcept nogil


cdef struct Buffer:  # a growing byte buffer: bytes[:used] is written, bytes[used:room] is free
    char* bytes
    size_t used
    size_t room


cdef struct Cursor:  # what is left to decode: at..end; offsets in errors count from start
    const char* at
    const char* end
    const char* start


cdef int grow(Buffer* buffer, size_t need) except -1
cdef int encode_value(Buffer* buffer, object value, int depth) except -1
cdef object decode_value(Cursor* cursor, int depth)
cdef str get_text(Cursor* cursor)  # a str, short ones from a cache: for names that recur
cdef int put_varint(Buffer* buffer, uint64_t value) except -1
cdef int get_varint(Cursor* cursor, uint64_t* value) except -1


cdef inline char* reserve(Buffer* buffer, size_t need) except NULL:
    """Return where to write, with room for ``need`` bytes there; the writer then adds to ``used``."""
    if buffer.room - buffer.used < need:
        grow(buffer, need)
    return buffer.bytes + buffer.used
