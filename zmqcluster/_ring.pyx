# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=False
"""Consistent hashing: which member owns a key, answered equally by every node that knows the same members.

    hash64(key) ──top bits──> buckets [0 2 2 5 ..] ──> points [(hash, member) (hash, member) ..]   sorted
                              first point of each      walk right to the first at or after the key, around the end

A member of weight w has ``w * points_per_weight`` points: the first outputs of SplitMix64 seeded with the hash64 of its
name. With about one point in a bucket, a lookup is one step of arithmetic and a short walk, whatever the number of
members. Invariant: a ring is a value; points are sorted by (hash, member name), so the order of joins leaves no trace.
Keys are str or bytes and nothing else, equal bytes meaning equal keys: "1" and b"1" are one key; 1, 1.0 and True are a
ConfigError, for they would be one key of a dict but three texts.
Source: libring, where the order of joins decides ties, and preference lists do not wrap; here neither is so.
"""
cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from collections.abc import Mapping

from zmqcluster.errors import ConfigError, NoMember

__all__ = ["HashRing", "hash64"]


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* XXH64 with seed 0, written from its specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md). */
    #define ZC_P1 0x9E3779B185EBCA87ULL
    #define ZC_P2 0xC2B2AE3D27D4EB4FULL
    #define ZC_P3 0x165667B19E3779F9ULL
    #define ZC_P4 0x85EBCA77C2B2AE63ULL
    #define ZC_P5 0x27D4EB2F165667C5ULL
    static inline uint64_t zc_rotated(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    static inline uint64_t zc_lane64(const uint8_t *at) { uint64_t x; memcpy(&x, at, 8); return __builtin_bswap64(x); }
    static inline uint32_t zc_lane32(const uint8_t *at) { uint32_t x; memcpy(&x, at, 4); return __builtin_bswap32(x); }
    #else
    static inline uint64_t zc_lane64(const uint8_t *at) { uint64_t x; memcpy(&x, at, 8); return x; }
    static inline uint32_t zc_lane32(const uint8_t *at) { uint32_t x; memcpy(&x, at, 4); return x; }
    #endif
    static inline uint64_t zc_round(uint64_t sum, uint64_t lane) { return zc_rotated(sum + lane * ZC_P2, 31) * ZC_P1; }
    static inline uint64_t zc_merged(uint64_t hash, uint64_t sum) { return (hash ^ zc_round(0, sum)) * ZC_P1 + ZC_P4; }
    static uint64_t zc_stripes(const uint8_t **at, const uint8_t *end) {
        uint64_t a = ZC_P1 + ZC_P2, b = ZC_P2, c = 0, d = 0 - ZC_P1;
        for (; end - *at >= 32; *at += 32) {
            a = zc_round(a, zc_lane64(*at));
            b = zc_round(b, zc_lane64(*at + 8));
            c = zc_round(c, zc_lane64(*at + 16));
            d = zc_round(d, zc_lane64(*at + 24));
        }
        uint64_t hash = zc_rotated(a, 1) + zc_rotated(b, 7) + zc_rotated(c, 12) + zc_rotated(d, 18);
        return zc_merged(zc_merged(zc_merged(zc_merged(hash, a), b), c), d);
    }
    static uint64_t zc_hash64(const char *bytes, size_t size_bytes) {
        const uint8_t *at = (const uint8_t *)bytes, *end = at + size_bytes;
        uint64_t hash = size_bytes >= 32 ? zc_stripes(&at, end) : ZC_P5;
        hash += size_bytes;
        for (; end - at >= 8; at += 8) hash = zc_rotated(hash ^ zc_round(0, zc_lane64(at)), 27) * ZC_P1 + ZC_P4;
        if (end - at >= 4) { hash = zc_rotated(hash ^ zc_lane32(at) * ZC_P1, 23) * ZC_P2 + ZC_P3; at += 4; }
        for (; at < end; at++) hash = zc_rotated(hash ^ *at * ZC_P5, 11) * ZC_P1;
        hash = (hash ^ hash >> 33) * ZC_P2;
        hash = (hash ^ hash >> 29) * ZC_P3;
        return hash ^ hash >> 32;
    }
    /* SplitMix64. Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014. */
    static inline uint64_t zc_split_mix(uint64_t *state) {
        uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
        return z ^ z >> 31;
    }
    /* The UTF-8 form of a str, NULL when it has none; no error stays set. */
    static inline const char *zc_utf8(PyObject *text, Py_ssize_t *size_bytes) {
        const char *bytes = PyUnicode_AsUTF8AndSize(text, size_bytes);
        if (bytes == NULL) PyErr_Clear();
        return bytes;
    }
    """
    uint64_t hash_bytes "zc_hash64"(const char* at, size_t size_bytes) noexcept nogil
    uint64_t next_point "zc_split_mix"(uint64_t* state) noexcept nogil
    const char* utf8 "zc_utf8"(object text, Py_ssize_t* size_bytes) noexcept

cdef enum:
    POINTS_MAX = 1 << 24  # 400 MB; ten thousand members of weight 3
    MEMBER_BYTES_MAX = 1 << 16
    MEMBERS_FEW = 256  # so many are marked on the stack


cdef struct Point:
    uint64_t hash
    uint32_t member  # index into the sorted names, so that it orders as they do


cdef inline uint64_t key_hash(object key) except? 0xffffffffffffffff:
    cdef Py_ssize_t size_bytes
    cdef const char* text
    if isinstance(key, str):
        text = utf8(key, &size_bytes)
        if text != NULL:
            return hash_bytes(text, size_bytes)
    elif isinstance(key, bytes):
        return hash_bytes(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    raise ConfigError(f"a key is a str that has a UTF-8 form, or bytes, not {key!r}")


def hash64(key):
    """Return XXH64, seed 0, of the bytes of ``key``: the same on every machine and in every version of Python.

    Raises:
        ConfigError: ``key`` is neither bytes nor a str with a UTF-8 form.
    """
    return key_hash(key)


@cython.final
cdef class HashRing:
    """An immutable ring of members; see the picture above.

    Args:
        members: names, each of weight 1, or a mapping of names to weights.
        points_per_weight: 512 keeps the largest share within 10 % of the mean up to 100 members.
    Raises:
        ConfigError: a name is no str, a weight is no number from 1, or the points would be more than 2 ** 24.
    """

    cdef readonly tuple members
    cdef readonly Py_ssize_t points_per_weight
    cdef dict _weights
    cdef Point* points
    cdef uint32_t* buckets  # index of the first point of each bucket; one more for the end
    cdef size_t count
    cdef int shift  # hash >> shift is the bucket
    cdef uint64_t fingerprint

    def __cinit__(self, members=(), points_per_weight=512):
        self._weights = checked_weights(members)
        self.points_per_weight = checked_number(points_per_weight, "points_per_weight")
        self.members = tuple(sorted(self._weights))
        points = sum(self._weights.values()) * self.points_per_weight
        if points > POINTS_MAX:
            raise ConfigError(f"a ring has at most {POINTS_MAX} points, not {points}")
        self.count = points
        self.fingerprint = digest_of(self)
        if self.count > 0:
            build(self)

    def __dealloc__(self):
        free(self.points)
        free(self.buckets)

    @property
    def weights(self):
        """The weight of each member, by name; a copy."""
        return {member: self._weights[member] for member in self.members}

    def add(self, member, weight=1):
        """Return the ring with ``member`` of ``weight``; one that was there gets this weight.

        Of n equal members, about 1/(n + 1) of the keys move, all of them to the new one.
        """
        return HashRing({**self._weights, member: weight}, self.points_per_weight)

    def remove(self, member):
        """Return the ring without ``member``, who need not be there. Only keys that it owned move."""
        return HashRing({name: self._weights[name] for name in self.members if name != member}, self.points_per_weight)

    def owner(self, key):
        """Return the member that owns ``key``.

        Raises:
            NoMember: the ring is empty; retry after a nodeup.
            ConfigError: ``key`` is neither str nor bytes.
        Cost: O(1).
        """
        return self.members[self.points[first_point(self, key)].member]

    def owners(self, key, count):
        """Return the ``count`` members that own ``key``, preferred first.

        Equal rings answer equally on every node, whatever the order of joins.

        Args:
            key: hashed to 64 bits.
            count: members wanted, at least 1.
        Returns:
            ``min(count, members)`` distinct names; the first is the owner.
        Raises:
            NoMember: the ring is empty; retry after a nodeup.
            ConfigError: ``key`` is neither str nor bytes, or ``count`` no number from 1.
        Cost: O(members), or O(points) where count comes near to the members.
        """
        cdef Py_ssize_t wanted = min(checked_number(count, "count"), len(self.members))
        cdef size_t at = first_point(self, key)
        cdef uint8_t few[MEMBERS_FEW]
        cdef bytearray many
        cdef uint8_t* is_found = few
        cdef list found = []
        cdef uint32_t index
        if len(self.members) > MEMBERS_FEW:
            many = bytearray(len(self.members))
            is_found = <uint8_t*>PyByteArray_AS_STRING(many)
        else:
            memset(few, 0, len(self.members))
        while len(found) < wanted:
            index = self.points[at].member
            if not is_found[index]:
                is_found[index] = True
                found.append(self.members[index])
            at = at + 1 if at + 1 < self.count else 0
        return found

    def digest(self):
        """Return 64 bits that are equal for equal rings: nodes compare them to see whether they agree."""
        return self.fingerprint

    def __len__(self):
        return len(self.members)

    def __contains__(self, member):
        return member in self._weights

    def __eq__(self, other):
        if not isinstance(other, HashRing):
            return NotImplemented
        return self._weights == other.weights and self.points_per_weight == other.points_per_weight

    def __hash__(self):
        return hash(self.fingerprint)

    def __repr__(self):
        return f"HashRing({self.weights!r}, points_per_weight={self.points_per_weight})"

    def __reduce__(self):
        return HashRing, (self.weights, self.points_per_weight)


cdef Py_ssize_t checked_number(object number, str name) except -1:
    if type(number) is not int or not 1 <= number <= POINTS_MAX:
        raise ConfigError(f"{name} is a whole number from 1 to {POINTS_MAX}, not {number!r}")
    return number


cdef dict checked_weights(object members):
    if isinstance(members, (str, bytes)):
        raise ConfigError(f"members are several names, or a mapping of names to weights, not {members!r}")
    try:
        weights = dict(members) if isinstance(members, Mapping) else dict.fromkeys(members, 1)
    except TypeError as error:
        raise ConfigError(f"members are names, or a mapping of names to weights: {error}") from None
    for member, weight in weights.items():
        checked_number(weight, "a weight")
        if not isinstance(member, str) or not 0 < len(key_bytes(member)) <= MEMBER_BYTES_MAX:
            raise ConfigError(f"a member is a str of 1 to {MEMBER_BYTES_MAX} bytes, not {member!r}")
    return weights


cdef bytes key_bytes(object member):
    try:
        return member.encode()
    except UnicodeEncodeError:
        return b""


cdef uint64_t digest_of(HashRing ring) except? 0xffffffffffffffff:
    """The hash of a text that says all: ``512 points;1:a=1;1:b=3;``; the length keeps names apart."""
    cdef list parts = [b"%d points;" % ring.points_per_weight]
    for member in ring.members:
        name = key_bytes(member)
        parts.append(b"%d:%s=%d;" % (len(name), name, ring._weights[member]))
    return key_hash(b"".join(parts))


cdef int build(HashRing ring) except -1:
    """Sort the points by a count per bucket, then within the buckets: linear, as hashes spread evenly."""
    cdef Point* unsorted = <Point*>malloc(ring.count * sizeof(Point))
    cdef int bits = 1
    while (<size_t>1 << bits) < ring.count:
        bits += 1
    ring.shift = 64 - bits
    ring.points = <Point*>malloc(ring.count * sizeof(Point))
    # Two more than there are buckets: for the end, and for the shift by one that placing the points takes back.
    ring.buckets = <uint32_t*>calloc((<size_t>1 << bits) + 2, sizeof(uint32_t))
    try:
        if unsorted == NULL or ring.points == NULL or ring.buckets == NULL:
            raise MemoryError
        draw(ring, unsorted)
        place(ring, unsorted)
    finally:
        free(unsorted)
    return 0


cdef int draw(HashRing ring, Point* unsorted) except -1:
    """Draw the points of every member and count those of each bucket, two places to the right."""
    cdef size_t at = 0
    cdef uint32_t index
    cdef uint64_t state
    cdef Py_ssize_t draws, _
    for index in range(<uint32_t>len(ring.members)):
        member = ring.members[index]
        state = key_hash(member)
        draws = ring._weights[member] * ring.points_per_weight
        for _ in range(draws):
            unsorted[at].hash = next_point(&state)
            unsorted[at].member = index
            ring.buckets[(unsorted[at].hash >> ring.shift) + 2] += 1
            at += 1
    return 0


cdef void place(HashRing ring, const Point* unsorted) noexcept:
    cdef size_t bucket, at, i
    cdef Point point
    for bucket in range(2, (<size_t>1 << (64 - ring.shift)) + 2):
        ring.buckets[bucket] += ring.buckets[bucket - 1]
    for i in range(ring.count):  # buckets[b + 1] is where the next point of bucket b goes, at last the start of b + 1
        point = unsorted[i]
        bucket = (point.hash >> ring.shift) + 1
        at = ring.buckets[bucket]
        ring.buckets[bucket] += 1
        ring.points[at] = point
    for i in range(1, ring.count):
        point = ring.points[i]
        at = i
        while at > 0 and is_after(&ring.points[at - 1], &point):
            ring.points[at] = ring.points[at - 1]
            at -= 1
        ring.points[at] = point


cdef inline bint is_after(const Point* left, const Point* right) noexcept:
    return left.hash > right.hash or (left.hash == right.hash and left.member > right.member)


cdef inline size_t first_point(HashRing ring, object key) except? 0xffffffffffffffff:
    """Index of the first point at or after the key, clockwise."""
    cdef uint64_t hash = key_hash(key)
    cdef size_t at
    if ring.count == 0:
        raise NoMember("the ring is empty; retry after a nodeup")
    at = ring.buckets[hash >> ring.shift]
    while at < ring.count and ring.points[at].hash < hash:
        at += 1
    return at if at < ring.count else 0
