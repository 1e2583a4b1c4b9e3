# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=False
"""The core: processes, their mailboxes, the run queue that drives them and the links that carry their messages.

    loop ── call_soon ──> Scheduler.drain ──> Process ── step ──> coroutine      (PyIter_Send, no Task)
                              │                  └───── call ──> plain handler   (one C call per message)
                              └── last act of the turn: flush ──> Link ──> Outlet

One class, ``Process``, is mailbox, Task-like object and callback server at once. A send is a push to a C ring and, if
the receiver waits, a push to the run queue; the loop is entered once per turn, not once per message. The parts:

    _mailbox.pxi    the ring of messages, and the class Mailbox around it
    _signal.pxi     what arrives in a mailbox besides users' messages: Exit, Down, Cast, and what handlers return
    _call.pxi       a request and its future reply
    _process.pxi    the process: stepping, serving, ending, and the face it shows to asyncio
    _receive.pxi    what ``await receive(...)`` waits on
    _scheduler.pxi  run queue, timers, process table, names, and the signals between processes
    _api.pxi        what the running process calls: send, receive, link, monitor, ...
    _methods.pxi    call and cast, and the typed methods of servers
    _link.pxi       envelopes out and in, sessions' epochs and sequence numbers, credit
    _collect.pxi    the C rings shown to the garbage collector

Nothing here is global but the process that runs now, and the call it handles. Figures behind the design are in
docs/decisions.
"""
cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from zmqcluster._codec cimport (
    Buffer, Cursor, decode_value, encode_value, get_text, get_varint, load32, load64, put_varint, reserve, store32,
    store64,
)
from zmqcluster._ids cimport Pid, Ref, new_pid, new_ref
from zmqcluster._ports cimport Inlet, Outlet
from zmqcluster._wheel cimport Entry, Wheel, entry_due, wheel_add, wheel_next, wheel_remove, wheel_reset

import asyncio
import collections
import contextvars
import inspect
import sys
from asyncio import CancelledError, InvalidStateError
from types import GenericAlias, UnionType
from typing import Any

from zmqcluster import constants, errors
from zmqcluster._codec import decode, encode
from zmqcluster.errors import (
    AlreadyRegistered, CallingSelf, CallRefused, CallTimeout, ClusterError, ConfigError, DecodeError,
    FrameTooLarge, InternalError, LinkBusy, MailboxFull, NoConnectionError, NoProcessError, NoSuchMethod, NotInProcess,
    NotRegistered, ProcessExit, Refusal, ServerExited, UsageError,
)
from zmqcluster.exits import Crashed, Kill, Killed, NoConnection, NoProcess, Normal, Shutdown

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(PyObject* iterator, PyObject* argument, PyObject** result)
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1
    object PyContext_Copy(object)
    object PyContext_CopyCurrent()
    PyObject* PyObject_Vectorcall(PyObject* callable, PyObject** arguments, size_t count, PyObject* names)
    PyObject* PyObject_Call(PyObject* callable, PyObject* arguments, PyObject* keywords)
    PyObject* Py_None
    int PyDict_SetItem(object, object, object) except -1
    int PyDict_DelItem(object, object) except -1
    tuple PyTuple_New(Py_ssize_t)
    void PyTuple_SET_ITEM(object, Py_ssize_t, object)
    PyObject* PyTuple_GET_ITEM(object, Py_ssize_t)
    Py_ssize_t PyTuple_GET_SIZE(object)
    bint PyCoro_CheckExact(object)
    bint PyFunction_Check(object)
    PyObject* PyFunction_GET_CODE(object)
    int CO_COROUTINE
    ctypedef struct PyTypeObject:
        pass

cdef extern from *:
    """
    /* A StopIteration per received message would cost 80 ns: one instance is recycled while nobody else holds it. */
    static PyObject *zc_stop = NULL;
    static void zc_stop_with(PyObject *value) {             /* steals value */
        PyObject *stop = zc_stop;
        if (stop == NULL) stop = zc_stop = PyObject_CallNoArgs(PyExc_StopIteration);
        if (stop != NULL && Py_REFCNT(stop) == 1) {
            PyObject *old = ((PyStopIterationObject *)stop)->value;
            ((PyStopIterationObject *)stop)->value = value;
            Py_XDECREF(old);
            Py_INCREF(stop);
    #if PY_VERSION_HEX >= 0x030C0000
            PyErr_SetRaisedException(stop);
    #else
            Py_INCREF(PyExc_StopIteration);
            PyErr_Restore(PyExc_StopIteration, stop, NULL);
    #endif
            return;
        }
        stop = PyObject_CallOneArg(PyExc_StopIteration, value);
        Py_DECREF(value);
        if (stop) { PyErr_SetObject(PyExc_StopIteration, stop); Py_DECREF(stop); }
    }
    /* The recycled instance must not keep the last message alive. */
    static void zc_stop_forget(void) {
        if (zc_stop != NULL && Py_REFCNT(zc_stop) == 1) {
            PyObject *old = ((PyStopIterationObject *)zc_stop)->value;
            if (old != NULL && old != Py_None) {
                Py_INCREF(Py_None);
                ((PyStopIterationObject *)zc_stop)->value = Py_None;
                Py_DECREF(old);
            }
        }
    }
    """
    void zc_stop_with(PyObject* value) noexcept
    void zc_stop_forget() noexcept

include "_mailbox.pxi"
include "_signal.pxi"
include "_call.pxi"
include "_process.pxi"
include "_receive.pxi"
include "_scheduler.pxi"
include "_api.pxi"
include "_methods.pxi"
include "_link.pxi"
include "_flow.pxi"
include "_arrivals.pxi"
include "_collect.pxi"
