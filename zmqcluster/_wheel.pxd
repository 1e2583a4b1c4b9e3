# cython: language_level=3, cdivision=True
"""The timer wheel: six levels of 64 slots, one tick is a millisecond.

    level 0   [ | | | ... | ]   64 slots of 1 tick       an entry sits in the level of the highest bit in which its
    level 1   [ | | | ... | ]   64 slots of 64 ticks     deadline differs from now, so adding, removing and finding
    ...                                                  the next deadline are a few instructions each
    level 5   [ | | | ... | ]   64 slots of 64^5 ticks

An entry is embedded in what it wakes, which removes it before it goes. Entries of one slot fire in the order of
adding. An entry is 24 bytes, because every process has one: level and slot share a word with the deadline.
Header only: every function is inline. Source: Varghese and Lauck, "Hashed and hierarchical timing wheels".
"""
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    static inline int zc_trailing_zeros(unsigned long long x) { return __builtin_ctzll(x); }
    static inline int zc_leading_zeros(unsigned long long x) { return __builtin_clzll(x); }
    """
    int zc_trailing_zeros(uint64_t) noexcept nogil
    int zc_leading_zeros(uint64_t) noexcept nogil

cdef enum:
    LEVELS = 6
    SLOTS = 64
    PLACE_BITS = 9              # 3 for the level, 6 for the slot

cdef struct Entry:
    Entry* next             # NULL: not in the wheel
    Entry* prev
    uint64_t word           # due tick << PLACE_BITS | level << 6 | slot

cdef struct Wheel:
    uint64_t now            # ticks passed
    uint64_t count
    uint64_t occupied[LEVELS]
    Entry heads[LEVELS][SLOTS]


cdef inline void wheel_reset(Wheel* wheel, uint64_t now) noexcept:
    cdef int level, slot
    wheel.now = now
    wheel.count = 0
    for level in range(LEVELS):
        wheel.occupied[level] = 0
        for slot in range(SLOTS):
            wheel.heads[level][slot].next = &wheel.heads[level][slot]
            wheel.heads[level][slot].prev = &wheel.heads[level][slot]


cdef inline uint64_t entry_due(Entry* entry) noexcept:
    return entry.word >> PLACE_BITS


cdef inline void wheel_add(Wheel* wheel, Entry* entry, uint64_t due) noexcept:
    cdef int level = (63 - zc_leading_zeros((wheel.now ^ due) | (SLOTS - 1))) // 6
    cdef int slot
    cdef Entry* head
    cdef uint64_t place = due
    if level >= LEVELS:
        level = LEVELS - 1
        if due - wheel.now > <uint64_t>1 << 35:     # half the wheel, a year: it comes around again before it is due
            place = wheel.now + (<uint64_t>1 << 35)
    slot = (place >> (level * 6)) & (SLOTS - 1)
    head = &wheel.heads[level][slot]
    entry.word = due << PLACE_BITS | <uint64_t>(level << 6) | <uint64_t>slot
    entry.next = head
    entry.prev = head.prev
    head.prev.next = entry
    head.prev = entry
    wheel.occupied[level] |= (<uint64_t>1) << slot
    wheel.count += 1


cdef inline void wheel_remove(Wheel* wheel, Entry* entry) noexcept:
    cdef Entry* head
    cdef int level, slot
    if entry.next == NULL:
        return
    entry.prev.next = entry.next
    entry.next.prev = entry.prev
    entry.next = NULL
    wheel.count -= 1
    level = (entry.word >> 6) & 7
    slot = entry.word & (SLOTS - 1)
    head = &wheel.heads[level][slot]
    if head.next == head:
        wheel.occupied[level] &= ~((<uint64_t>1) << slot)


cdef inline bint wheel_next(Wheel* wheel, int* level_out, int* slot_out, uint64_t* due) noexcept:
    """Find the first occupied slot and the tick at which it is due; False when the wheel is empty."""
    cdef int level, here, slot
    cdef uint64_t width, turned, start
    for level in range(LEVELS):
        if wheel.occupied[level] == 0:
            continue
        here = (wheel.now >> (level * 6)) & (SLOTS - 1)
        turned = wheel.occupied[level] >> here
        if here:
            turned |= wheel.occupied[level] << (SLOTS - here)
        slot = (zc_trailing_zeros(turned) + here) & (SLOTS - 1)
        width = (<uint64_t>1) << (level * 6)
        start = wheel.now & ~(width * SLOTS - 1)
        due[0] = start + slot * width
        if due[0] < wheel.now:
            if level == LEVELS - 1 or slot < here:
                due[0] += width * SLOTS
            else:
                due[0] = wheel.now
        level_out[0] = level
        slot_out[0] = slot
        return True
    return False
