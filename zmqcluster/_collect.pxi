# The C rings shown to the garbage collector. Cython sees the fields of a class; the messages in a ring and the
# processes in the table are behind raw pointers, and a cycle through them (a message that holds its own process) would
# never be freed. So tp_traverse and tp_clear of the three classes with such pointers are wrapped once, at import. The
# classes with a timer are cleared of it first: their __dealloc__ would look for the wheel in a scheduler that is gone.

ctypedef int (*visit_t)(PyObject*, void*) noexcept

cdef extern from *:
    """
    typedef struct { traverseproc traverse; inquiry clear; } zc_slots;
    static zc_slots zc_process, zc_scheduler, zc_mailbox, zc_call, zc_later;
    static void zc_wrap(PyTypeObject *type, zc_slots *saved, traverseproc traverse, inquiry clear) {
        saved->traverse = type->tp_traverse;
        saved->clear = type->tp_clear;
        if (traverse) type->tp_traverse = traverse;
        type->tp_clear = clear;
        PyType_Modified(type);
    }
    static int zc_traverse_rest(zc_slots *saved, PyObject *object, visitproc visit, void *arg) {
        return saved->traverse ? saved->traverse(object, visit, arg) : 0;
    }
    static int zc_clear_rest(zc_slots *saved, PyObject *object) {
        return saved->clear ? saved->clear(object) : 0;
    }
    """
    ctypedef int (*c_visit "visitproc")(PyObject*, void*) noexcept
    ctypedef int (*c_traverse "traverseproc")(PyObject*, c_visit, void*) noexcept
    ctypedef int (*c_clear "inquiry")(PyObject*) noexcept
    ctypedef struct zc_slots:
        pass
    zc_slots zc_process, zc_scheduler, zc_mailbox, zc_call, zc_later
    void zc_wrap(PyTypeObject*, zc_slots*, c_traverse, c_clear)
    int zc_traverse_rest(zc_slots*, PyObject*, c_visit, void*) noexcept
    int zc_clear_rest(zc_slots*, PyObject*) noexcept


cdef int visit_ring(Ring* ring, c_visit visit, void* arg) noexcept:
    cdef uint32_t position
    cdef PyObject* message
    cdef int stop
    for position in range(ring.used):
        message = ring_at(ring, position)
        if message != NULL:
            stop = visit(message, arg)
            if stop:
                return stop
    return 0


cdef int traverse_process(PyObject* object, c_visit visit, void* arg) noexcept:
    cdef int stop = visit_ring(&(<Process>object).mailbox, visit, arg)
    return stop if stop else zc_traverse_rest(&zc_process, object, visit, arg)


cdef inline void clear_timer(Runnable runnable, Scheduler scheduler) noexcept:
    if runnable.timer.next != NULL and scheduler is not None:
        wheel_remove(&scheduler.wheel, &runnable.timer)


cdef int clear_process(PyObject* object) noexcept:
    clear_timer(<Process>object, (<Process>object).scheduler)
    ring_clear(&(<Process>object).mailbox)
    return zc_clear_rest(&zc_process, object)


cdef int clear_call(PyObject* object) noexcept:
    clear_timer(<Call>object, (<Call>object).scheduler)
    return zc_clear_rest(&zc_call, object)


cdef int clear_later(PyObject* object) noexcept:
    clear_timer(<SendAfter>object, (<SendAfter>object).scheduler)
    return zc_clear_rest(&zc_later, object)


cdef int traverse_scheduler(PyObject* object, c_visit visit, void* arg) noexcept:
    cdef Scheduler scheduler = <Scheduler>object
    cdef int stop = visit_ring(&scheduler.ready, visit, arg)
    cdef uint32_t slot
    if stop:
        return stop
    for slot in range(1, scheduler.slots_count):
        if not is_free(scheduler.slots[slot]):
            stop = visit(<PyObject*>scheduler.slots[slot], arg)
            if stop:
                return stop
    return zc_traverse_rest(&zc_scheduler, object, visit, arg)


cdef int clear_scheduler(PyObject* object) noexcept:
    ring_clear(&(<Scheduler>object).ready)
    (<Scheduler>object).free_table()
    return zc_clear_rest(&zc_scheduler, object)


cdef int traverse_mailbox(PyObject* object, c_visit visit, void* arg) noexcept:
    cdef int stop = visit_ring(&(<Mailbox>object).ring, visit, arg)
    return stop if stop else zc_traverse_rest(&zc_mailbox, object, visit, arg)


cdef int clear_mailbox(PyObject* object) noexcept:
    ring_clear(&(<Mailbox>object).ring)
    return zc_clear_rest(&zc_mailbox, object)


zc_wrap(<PyTypeObject*>Process, &zc_process, traverse_process, clear_process)
zc_wrap(<PyTypeObject*>Scheduler, &zc_scheduler, traverse_scheduler, clear_scheduler)
zc_wrap(<PyTypeObject*>Mailbox, &zc_mailbox, traverse_mailbox, clear_mailbox)
zc_wrap(<PyTypeObject*>Call, &zc_call, NULL, clear_call)
zc_wrap(<PyTypeObject*>SendAfter, &zc_later, NULL, clear_later)
