# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=False
"""The thread of a node that must not wait for its event loop: it beats, forwards gossip and opens the door.

    loop --frames (inproc PAIR)--> thread --gossip (PUB)--> subscribers
    loop --turned(), an atomic--> thread --beat: prefix | u64 number | u32 lag_ms--> subscribers
    libzmq's handshakes --door (REP, ZAP)--> thread --200 or 400--> libzmq

A callback that computes for ten seconds stops the loop, and must not look like a dead node: the beats go on and carry
the time since the loop last turned. For the same reason the door is here: a peer that connects meanwhile is
authenticated, and hears the beats. An admitted peer shows one of the keys that the cookies give.

Invariant: between ``start`` and ``stop`` the thread alone uses the three sockets; the loop reaches it through the PAIR
and four atomics. An empty frame is a nudge: look at the atomics again. Order on the PAIR is order on the wire.

Rules of the file: what the thread runs is ``noexcept nogil`` and touches no Python object. A started Beat holds itself
and its sockets until ``stop``. In a forked child there is no thread: ``stop`` then only forgets.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EINTR
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy
from posix.signal cimport sigfillset, sigset_t
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, clockid_t, timespec
from posix.types cimport pid_t
from posix.unistd cimport getpid

from zmqcluster._ports cimport NOBLOCK, POLLIN, SNDMORE, Library, Message, PollItem, library

from zmqcluster.errors import AlreadyRunning

cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_t:
        pass
    int pthread_create(pthread_t*, const void*, void* (*)(void*) noexcept nogil, void*)
    int pthread_join(pthread_t, void**)

cdef extern from "signal.h" nogil:
    int SIG_SETMASK
    int pthread_sigmask(int, const sigset_t*, sigset_t*)

cdef enum:
    KEY_BYTES = 32
    KEYS_MAX = 16
    TRAILER_BYTES = 12  # u64 number, u32 lag_ms
    FORWARD_MAX = 256  # frames between two looks at the clock
    ZAP_FRAMES = 7  # version, request id, domain, address, identity, mechanism, and CURVE's one credential

cdef struct Keys:
    size_t count
    uint8_t content[KEYS_MAX * KEY_BYTES]

cdef extern from *:
    """
    #define load_acquire(place) __atomic_load_n((place), __ATOMIC_ACQUIRE)
    #define store_release(place, value) __atomic_store_n((place), (value), __ATOMIC_RELEASE)
    """
    int load_int "load_acquire"(int*) noexcept nogil
    void store_int "store_release"(int*, int) noexcept nogil
    uint64_t load_u64 "load_acquire"(uint64_t*) noexcept nogil
    void store_u64 "store_release"(uint64_t*, uint64_t) noexcept nogil
    const Keys* load_keys "load_acquire"(const Keys**) noexcept nogil
    void store_keys "store_release"(const Keys**, const Keys*) noexcept nogil

cdef uint64_t LAG_MS_MAX = 0xFFFFFFFF

cdef struct State:
    Library* zmq
    void* frames
    void* gossip
    void* door
    const Keys* keys  # atomic: whoever shows one of these is admitted
    uint64_t turned_ns  # atomic: the loop's last turn
    int is_stopping  # atomic
    int is_beating  # atomic: all below is set before it, and belongs to the thread after it
    uint64_t interval_ns
    uint64_t next_ns
    uint64_t number
    uint8_t* beat
    size_t prefix_bytes

cdef set running = set()


cdef class Beat:
    """The thread and what the loop may say to it.

    Args:
        gossip, frames, door: pyzmq sockets, bound and connected: PUB, PAIR and, where a key is asked for, REP.
        keys: the public keys to admit, of 32 bytes each, one after the other; empty without a door.
        nudge: sends an empty frame to the other end of ``frames``, or does nothing where that is full.
    """

    cdef State* state
    cdef pthread_t thread
    cdef pid_t pid
    cdef readonly bint is_running
    cdef object sockets
    cdef object nudge
    cdef list given  # every set of keys there was: the thread may be reading any of the last two

    def __init__(self, gossip, frames, door, bytes keys not None, nudge):
        if self.state != NULL:
            raise AlreadyRunning("the beat thread")
        if (door is None) != (not keys):
            raise ValueError(f"a door needs keys of {KEY_BYTES} bytes; no door, no keys")
        self.sockets = (gossip, frames, door)
        self.nudge = nudge
        self.state = <State*>calloc(1, sizeof(State))
        if self.state == NULL:
            raise MemoryError
        self.state.zmq = library()
        self.state.gossip = handle_of(gossip)
        self.state.frames = handle_of(frames)
        self.given = []
        if door is not None:
            self.state.door = handle_of(door)
            self.admit(keys)

    def __dealloc__(self):
        # Still running at interpreter exit: the thread ends with the process, and needs its state until then.
        if self.state != NULL and not self.is_running:
            free(self.state.beat)
            free(self.state)

    def start(self):
        """Start the thread, which owns the sockets from now on."""
        if self.is_running:
            raise AlreadyRunning("the beat thread")
        self.turned()
        create(&self.thread, self.state)
        self.is_running = True
        self.pid = getpid()
        running.add(self)

    def pulse(self, bytes prefix not None, unsigned int interval_ms):
        """Publish a beat now and every interval."""
        if self.state.beat != NULL:
            raise AlreadyRunning("the beats")
        if interval_ms == 0:
            raise ValueError("the interval of the beats is at least 1 ms")
        self.state.prefix_bytes = PyBytes_GET_SIZE(prefix)
        self.state.beat = <uint8_t*>calloc(1, self.state.prefix_bytes + TRAILER_BYTES)
        if self.state.beat == NULL:
            raise MemoryError
        memcpy(self.state.beat, PyBytes_AS_STRING(prefix), self.state.prefix_bytes)
        self.state.interval_ns = <uint64_t>interval_ms * 1_000_000
        store_int(&self.state.is_beating, 1)
        self.nudge()

    def admit(self, bytes keys not None):
        """From now on admit exactly these keys. What is under way is judged by them or by those before."""
        cdef Keys packed
        cdef size_t size_bytes = PyBytes_GET_SIZE(keys)
        if size_bytes == 0 or size_bytes % KEY_BYTES or size_bytes > KEYS_MAX * KEY_BYTES:
            raise ValueError(f"1 to {KEYS_MAX} keys of {KEY_BYTES} bytes each, not {size_bytes} bytes")
        packed.count = size_bytes // KEY_BYTES
        memcpy(packed.content, PyBytes_AS_STRING(keys), size_bytes)
        given = PyBytes_FromStringAndSize(<const char*>&packed, sizeof(Keys))
        self.given.append(given)
        store_keys(&self.state.keys, <const Keys*><const char*>PyBytes_AS_STRING(given))

    def turned(self):
        """The loop is alive: the lag of the next beat counts from now."""
        store_u64(&self.state.turned_ns, now_ns())

    def stop(self):
        """End the thread; the sockets belong to the caller again. Idempotent."""
        cdef pthread_t thread = self.thread
        if not self.is_running:
            return
        if self.pid == getpid():
            store_int(&self.state.is_stopping, 1)
            self.nudge()
            with nogil:
                pthread_join(thread, NULL)
        self.is_running = False
        running.discard(self)
        self.sockets = self.nudge = None


cdef void* handle_of(socket) except NULL:
    return <void*><size_t>int(socket.underlying)


cdef int create(pthread_t* thread, State* state) except -1:
    """Start the thread with all signals blocked: they are for Python's main thread."""
    cdef sigset_t everything
    cdef sigset_t before
    sigfillset(&everything)
    pthread_sigmask(SIG_SETMASK, &everything, &before)
    cdef int problem = pthread_create(thread, NULL, run, state)
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    if problem:
        raise OSError(problem, "cannot start the beat thread")
    return 0


# --- what the thread runs
cdef void* run(void* argument) noexcept nogil:
    cdef State* state = <State*>argument
    cdef PollItem items[2]
    items[0].socket = state.frames
    items[1].socket = state.door
    items[0].events = items[1].events = POLLIN
    while not load_int(&state.is_stopping):
        if state.zmq.poll(items, 2 if state.door != NULL else 1, wait_ms(state)) < 0:
            if state.zmq.error() != EINTR:
                break
            continue
        forward(state)
        if state.door != NULL and items[1].revents & POLLIN:
            admit(state)
        beat(state)
    return NULL


cdef uint64_t now_ns() noexcept nogil:
    return time_ns(CLOCK_MONOTONIC)


cdef uint64_t time_ns(clockid_t clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <uint64_t>now.tv_sec * 1_000_000_000 + <uint64_t>now.tv_nsec


cdef uint64_t until_beat_ns(uint64_t interval_ns) noexcept nogil:
    """To the next multiple of the interval by the wall clock, but not sooner than a quarter of it.

    Nodes whose clocks agree beat together, so who hears twenty of them is woken once and not twenty times.
    """
    cdef uint64_t left_ns = interval_ns - time_ns(CLOCK_REALTIME) % interval_ns
    return left_ns if left_ns > interval_ns // 4 else left_ns + interval_ns


cdef long wait_ms(State* state) noexcept nogil:
    """Until the next beat, rounded up; without beats, until a frame or a nudge."""
    cdef uint64_t now
    if not load_int(&state.is_beating):
        return -1
    now = now_ns()
    return 0 if now >= state.next_ns else <long>((state.next_ns - now + 999_999) // 1_000_000)


cdef void forward(State* state) noexcept nogil:
    cdef Message frame
    for _ in range(FORWARD_MAX):
        state.zmq.msg_init(&frame)
        if state.zmq.msg_recv(&frame, state.frames, NOBLOCK) < 0:
            state.zmq.msg_close(&frame)
            return
        if state.zmq.msg_size(&frame) == 0 or state.zmq.msg_send(&frame, state.gossip, NOBLOCK) < 0:
            state.zmq.msg_close(&frame)


cdef void beat(State* state) noexcept nogil:
    """Publish a beat if one is due. After a pause the missed ones are not made up for."""
    cdef uint64_t now = now_ns()
    cdef uint64_t turned = load_u64(&state.turned_ns)
    cdef uint64_t lag_ms = (now - turned) // 1_000_000 if now > turned else 0
    if not load_int(&state.is_beating) or now < state.next_ns:
        return
    state.next_ns = now + until_beat_ns(state.interval_ns)
    if lag_ms > LAG_MS_MAX:
        lag_ms = LAG_MS_MAX
    state.number += 1
    put(state.beat + state.prefix_bytes, state.number, 8)
    put(state.beat + state.prefix_bytes + 8, lag_ms, 4)
    state.zmq.send(state.gossip, state.beat, state.prefix_bytes + TRAILER_BYTES, NOBLOCK)


cdef void put(uint8_t* place, uint64_t value, int size_bytes) noexcept nogil:
    """Write ``value`` big endian."""
    cdef int i
    for i in range(size_bytes):
        place[i] = <uint8_t>(value >> (8 * (size_bytes - 1 - i)))


cdef void admit(State* state) noexcept nogil:
    """Answer one request of libzmq's handshake: 200 for our keys, 400 for all else. Source: RFC 27, ZAP."""
    cdef Message frames[ZAP_FRAMES]
    cdef Message* mechanism = &frames[5]
    cdef Message* shown = &frames[6]
    cdef int count = receive_all(state, frames)
    cdef bint is_admitted = (
        count == ZAP_FRAMES
        and equals(state, mechanism, "CURVE", 5)
        and is_ours(state, shown)
    )
    if count >= 2:
        state.zmq.send(state.door, "1.0", 3, SNDMORE)
        state.zmq.msg_send(&frames[1], state.door, SNDMORE)
        state.zmq.send(state.door, "200" if is_admitted else "400", 3, SNDMORE)
        state.zmq.send(state.door, "OK" if is_admitted else "key not admitted", 2 if is_admitted else 16, SNDMORE)
        state.zmq.send(state.door, "", 0, SNDMORE)
        state.zmq.send(state.door, "", 0, 0)
    for i in range(count if count < ZAP_FRAMES else ZAP_FRAMES):
        state.zmq.msg_close(&frames[i])


cdef bint is_ours(State* state, Message* shown) noexcept nogil:
    cdef const Keys* keys = load_keys(&state.keys)
    cdef size_t i
    for i in range(keys.count):
        if equals(state, shown, &keys.content[i * KEY_BYTES], KEY_BYTES):
            return True
    return False


cdef int receive_all(State* state, Message* frames) noexcept nogil:
    """Fill at most ZAP_FRAMES frames of one message; the answer counts those beyond, too."""
    cdef Message spare
    cdef Message* frame
    cdef int count = 0
    cdef bint more = True
    while more:
        frame = &frames[count] if count < ZAP_FRAMES else &spare
        state.zmq.msg_init(frame)
        if state.zmq.msg_recv(frame, state.door, NOBLOCK) < 0:
            state.zmq.msg_close(frame)
            return count
        more = state.zmq.msg_more(frame)
        if frame == &spare:
            state.zmq.msg_close(frame)
        count += 1
    return count


cdef bint equals(State* state, Message* frame, const void* expected, size_t size_bytes) noexcept nogil:
    return (
        state.zmq.msg_size(frame) == size_bytes
        and memcmp(state.zmq.msg_data(frame), expected, size_bytes) == 0
    )
