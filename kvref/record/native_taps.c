/* What `taps.py` does, natively: its words say what each function is for.

   A note is a few machine words in a ring that is there before, and becomes a tuple only where it is taken, in the
   writer's thread: the engine's thread allocates nothing. A word is an object that the ring owns, or, where its
   lowest bit is set, a whole number. All is done under the interpreter's lock. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#error "the ring is kept by the interpreter's lock: use taps.py"
#endif

typedef uintptr_t Word;

enum { BARE, NAMED, OF_REQUEST };
enum { AS_IS, WHETHER, LENGTH, ROWS, HIT, FOUND, NOTHING };

/* A note's first word is a number: what follows, and how many words that is. */
enum { WHOLE, FLAT, CALLED };
#define HEAD(kind, count) word_of_number(((Py_ssize_t)(count) << 2) | (kind))

#define FIRST_CAPACITY ((Py_ssize_t)1 << 16) /* in words; a power of two, as all are */

static PyObject *all_token_ids, *blocks_name, *request_name;

/* ---- the ring -------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    Word *words;
    Py_ssize_t capacity, first, used, notes;
} Queue;

static Word
word_of(PyObject *object)
{
    if (PyLong_CheckExact(object)) {
        int is_large;
        long long number = PyLong_AsLongLongAndOverflow(object, &is_large);
        if (!is_large && number >= PY_SSIZE_T_MIN / 2 && number <= PY_SSIZE_T_MAX / 2) {
            return ((Word)number << 1) | 1;
        }
    }
    return (Word)Py_NewRef(object);
}

static Word
word_of_number(Py_ssize_t number)
{
    return ((Word)number << 1) | 1;
}

static inline Py_ssize_t
number_of(Word word)
{
    return (Py_ssize_t)word >> 1;
}

static PyObject *
object_of(Word word) /* which gives away what the word owns */
{
    return word & 1 ? PyLong_FromSsize_t(number_of(word)) : (PyObject *)word;
}

static void
drop(Word word)
{
    if (!(word & 1)) {
        Py_DECREF((PyObject *)word);
    }
}

static int
make_room(Queue *queue, Py_ssize_t count)
{
    Py_ssize_t capacity = queue->capacity ? queue->capacity : FIRST_CAPACITY;
    while (capacity - queue->used < count) {
        capacity *= 2;
    }
    if (capacity != queue->capacity) {
        Word *words = PyMem_New(Word, capacity);
        if (words == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        for (Py_ssize_t i = 0; i < queue->used; i++) {
            words[i] = queue->words[(queue->first + i) & (queue->capacity - 1)];
        }
        PyMem_Free(queue->words);
        queue->words = words;
        queue->capacity = capacity;
        queue->first = 0;
    }
    return 0;
}

static inline void
put(Queue *queue, Word word)
{
    queue->words[(queue->first + queue->used++) & (queue->capacity - 1)] = word;
}

static inline Word
next(Queue *queue)
{
    Word word = queue->words[queue->first];
    queue->first = (queue->first + 1) & (queue->capacity - 1);
    queue->used--;
    return word;
}

static PyObject *
queue_append(Queue *queue, PyObject *note)
{
    if (make_room(queue, 2) < 0) {
        return NULL;
    }
    put(queue, HEAD(WHOLE, 1));
    put(queue, (Word)Py_NewRef(note));
    queue->notes++;
    Py_RETURN_NONE;
}

/* The last of a call's words are the names of what it was given by name, and what it was given. */
static PyObject *
called(Word *words, Py_ssize_t count, Py_ssize_t leading)
{
    PyObject *names = (PyObject *)words[leading];
    Word *values = words + leading + 1;
    Py_ssize_t given = count - leading - 1;
    Py_ssize_t named = names == Py_None ? 0 : PyTuple_GET_SIZE(names);
    PyObject *note = PyTuple_New(leading + 2), *arguments = PyTuple_New(given - named), *by_name = PyDict_New();
    if (note == NULL || arguments == NULL || by_name == NULL) {
        goto failed;
    }
    for (Py_ssize_t i = 0; i < leading + given; i++) {
        Word *word = i < leading ? words + i : values + i - leading;
        PyObject *object = object_of(*word);
        *word = word_of_number(0);
        if (object == NULL) {
            goto failed;
        }
        if (i < leading) {
            PyTuple_SET_ITEM(note, i, object);
        } else if (i - leading < given - named) {
            PyTuple_SET_ITEM(arguments, i - leading, object);
        } else {
            int failed = PyDict_SetItem(by_name, PyTuple_GET_ITEM(names, i - leading - (given - named)), object);
            Py_DECREF(object);
            if (failed) {
                goto failed;
            }
        }
    }
    PyTuple_SET_ITEM(note, leading, arguments);
    PyTuple_SET_ITEM(note, leading + 1, by_name);
    return note;
failed:
    Py_XDECREF(note);
    Py_XDECREF(arguments);
    Py_XDECREF(by_name);
    return NULL;
}

static PyObject *
flat(Word *words, Py_ssize_t count)
{
    PyObject *note = PyTuple_New(count);
    for (Py_ssize_t i = 0; note != NULL && i < count; i++) {
        PyObject *object = object_of(words[i]);
        words[i] = word_of_number(0);
        if (object == NULL) {
            Py_CLEAR(note);
            break;
        }
        PyTuple_SET_ITEM(note, i, object);
    }
    return note;
}

static PyObject *
queue_popleft(Queue *queue, PyObject *Py_UNUSED(ignored))
{
    if (queue->notes == 0) {
        PyErr_SetString(PyExc_IndexError, "pop from an empty queue");
        return NULL;
    }
    Py_ssize_t count = number_of(queue->words[queue->first]) >> 2;
    Word *words = PyMem_New(Word, count);
    if (words == NULL) {
        return PyErr_NoMemory();
    }
    int kind = (int)(number_of(next(queue)) & 3);
    for (Py_ssize_t i = 0; i < count; i++) {
        words[i] = next(queue);
    }
    queue->notes--;
    PyObject *note;
    if (kind == WHOLE) {
        note = (PyObject *)words[0];
        words[0] = word_of_number(0);
    } else if (kind == FLAT) {
        note = flat(words, count);
    } else { /* how many words are no arguments is the first of them */
        note = called(words + 1, count - 1, number_of(words[0]));
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        drop(words[i]);
    }
    PyMem_Free(words);
    return note;
}

/* The ring is taken away first: what its notes held may run code as it goes, which notes, takes or empties. */
static int
queue_empty(Queue *queue)
{
    Word *words = queue->words;
    Py_ssize_t first = queue->first, used = queue->used, last = queue->capacity - 1;
    queue->words = NULL;
    queue->capacity = queue->first = queue->used = queue->notes = 0;
    for (Py_ssize_t i = 0; i < used; i++) {
        drop(words[(first + i) & last]);
    }
    PyMem_Free(words);
    return 0;
}

static PyObject *
queue_clear(Queue *queue, PyObject *Py_UNUSED(ignored))
{
    queue_empty(queue);
    Py_RETURN_NONE;
}

static Py_ssize_t
queue_length(Queue *queue)
{
    return queue->notes;
}

static int
queue_traverse(Queue *queue, visitproc visit, void *arg)
{
    for (Py_ssize_t i = 0; i < queue->used; i++) {
        Word word = queue->words[(queue->first + i) & (queue->capacity - 1)];
        if (!(word & 1)) {
            Py_VISIT((PyObject *)word);
        }
    }
    return 0;
}

static PyObject *
queue_new(PyTypeObject *type, PyObject *Py_UNUSED(arguments), PyObject *Py_UNUSED(named))
{
    Queue *queue = (Queue *)type->tp_alloc(type, 0);
    if (queue == NULL) {
        return NULL;
    }
    queue->capacity = FIRST_CAPACITY;
    queue->words = PyMem_New(Word, FIRST_CAPACITY);
    if (queue->words == NULL) {
        Py_DECREF(queue);
        return PyErr_NoMemory();
    }
    memset(queue->words, 1, FIRST_CAPACITY * sizeof(Word)); /* memory that was never written is slow the first time */
    return (PyObject *)queue;
}

static void
queue_dealloc(Queue *queue)
{
    PyObject_GC_UnTrack(queue);
    queue_empty(queue);
    Py_TYPE(queue)->tp_free(queue);
}

static PyMethodDef queue_methods[] = {
    {"append", (PyCFunction)queue_append, METH_O, NULL},
    {"popleft", (PyCFunction)queue_popleft, METH_NOARGS, NULL},
    {"clear", (PyCFunction)queue_clear, METH_NOARGS, NULL},
    {NULL},
};

static PySequenceMethods queue_as_sequence = {.sq_length = (lenfunc)queue_length};

static PyTypeObject queue_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "kvref.record.native_taps.Queue",
    .tp_doc = "Notes, in order.",
    .tp_basicsize = sizeof(Queue),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = queue_new,
    .tp_dealloc = (destructor)queue_dealloc,
    .tp_traverse = (traverseproc)queue_traverse,
    .tp_clear = (inquiry)queue_empty,
    .tp_methods = queue_methods,
    .tp_as_sequence = &queue_as_sequence,
};

/* ---- what is called instead ------------------------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    Queue *queue;
    PyObject *method, *tell, *extra, *failed, *gave_up, *due;
    int shape, keeps, even_if_raised;
    Py_ssize_t calls, until;
} Tap;

#if PY_VERSION_HEX < 0x030C0000
static PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(error, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return error;
}

static void
PyErr_SetRaisedException(PyObject *error)
{
    PyErr_Restore(Py_NewRef(Py_TYPE(error)), error, PyException_GetTraceback(error));
}
#endif

/* An error of ours is set: it is told, and is not the engine's. What is no error, like the end of the process that a
   signal asked for just now, stays set: -1. */
static int
give_up(Tap *tap)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *done = PyObject_CallOneArg(tap->gave_up, error);
    Py_DECREF(error);
    if (done == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return -1;
        }
        PyErr_WriteUnraisable((PyObject *)tap);
    }
    Py_XDECREF(done);
    return 0;
}

/* The lists of a `KVCacheBlocks` as tuples, behind `hit` if there is one. */
static PyObject *
rows_of(PyObject *blocks, PyObject *hit)
{
    PyObject *lists = PyObject_GetAttr(blocks, blocks_name);
    PyObject *rows = lists == NULL ? NULL : PySequence_Tuple(lists);
    Py_XDECREF(lists);
    if (rows == NULL) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(rows), ahead = hit != NULL;
    PyObject *copies = PyTuple_New(ahead + count);
    if (copies != NULL && ahead) {
        PyTuple_SET_ITEM(copies, 0, Py_NewRef(hit));
    }
    for (Py_ssize_t i = 0; copies != NULL && i < count; i++) {
        PyObject *row = PySequence_Tuple(PyTuple_GET_ITEM(rows, i));
        if (row == NULL) {
            Py_CLEAR(copies);
            break;
        }
        PyTuple_SET_ITEM(copies, ahead + i, row);
    }
    Py_DECREF(rows);
    return copies;
}

/* What is kept of a result: a new reference. */
static PyObject *
kept_of(Tap *tap, PyObject *result)
{
    switch (tap->keeps) {
    case AS_IS:
        return Py_NewRef(result);
    case WHETHER:
        return Py_NewRef(result == Py_None ? Py_False : Py_True);
    case LENGTH: {
        Py_ssize_t length = PyObject_Size(result);
        return length < 0 ? NULL : PyLong_FromSsize_t(length);
    }
    case ROWS:
        return rows_of(result, NULL);
    case HIT:
    case FOUND:
        if (!PyTuple_Check(result) || PyTuple_GET_SIZE(result) < 2) {
            return PyErr_Format(PyExc_TypeError, "blocks and a hit are expected, not %R", result);
        }
        PyObject *hit = PyTuple_GET_ITEM(result, 1);
        return tap->keeps == HIT ? Py_NewRef(hit) : rows_of(PyTuple_GET_ITEM(result, 0), hit);
    default:
        return Py_NewRef(Py_None);
    }
}

static PyObject *
request_of(PyObject *const *arguments, Py_ssize_t count, PyObject *names) /* a borrowed reference */
{
    if (count) {
        return arguments[0];
    }
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        if (PyUnicode_Compare(PyTuple_GET_ITEM(names, i), request_name) == 0) {
            return arguments[i];
        }
    }
    PyErr_SetString(PyExc_KeyError, "request");
    return NULL;
}

static Py_ssize_t
tokens_of(PyObject *request)
{
    PyObject *tokens = PyObject_GetAttr(request, all_token_ids);
    if (tokens == NULL) {
        return -1;
    }
    Py_ssize_t length = PyObject_Size(tokens);
    Py_DECREF(tokens);
    return length;
}

/* The word of an argument behind the first; of blocks, which somebody may wait to have back, only that there are any. */
static Word
word_of_argument(PyObject *argument)
{
    int is_plain = argument == Py_None || PyLong_Check(argument) || PyUnicode_Check(argument);
    return is_plain ? word_of(argument) : (Word)Py_NewRef(Py_True);
}

/* Note a call. All that may fail comes first, so that the ring has a note or has it not. */
static int
note(Tap *tap, PyObject *const *arguments, Py_ssize_t count, PyObject *names, PyObject *result)
{
    Queue *queue = tap->queue;
    PyObject *request = NULL, *extra = NULL;
    Py_ssize_t length = 0, given = count + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    int of_request = tap->shape == OF_REQUEST;
    if (of_request) {
        request = request_of(arguments, count, names);
        if (request == NULL || (length = tokens_of(request)) < 0) {
            return -1;
        }
        extra = tap->extra == Py_None ? Py_NewRef(Py_None) : PyObject_GetAttr(request, tap->extra);
        if (extra == NULL) {
            return -1;
        }
    }
    PyObject *kept = kept_of(tap, result);
    if (kept == NULL || make_room(queue, 7 + given) < 0) {
        Py_XDECREF(kept);
        Py_XDECREF(extra);
        return -1;
    }
    if (tap->shape == BARE) {
        put(queue, HEAD(FLAT, 2));
        put(queue, (Word)Py_NewRef(tap->tell));
        put(queue, (Word)kept);
    } else {
        Py_ssize_t leading = of_request ? 4 : 2;
        put(queue, HEAD(CALLED, 2 + leading + given));
        put(queue, word_of_number(leading));
        put(queue, (Word)Py_NewRef(tap->tell));
        put(queue, word_of(kept));
        Py_DECREF(kept);
        if (of_request) {
            put(queue, word_of_number(length));
            put(queue, word_of(extra));
            Py_DECREF(extra);
        }
        put(queue, (Word)Py_NewRef(names == NULL ? Py_None : names));
        for (Py_ssize_t i = 0; i < given; i++) {
            put(queue, of_request && arguments[i] != request ? word_of_argument(arguments[i]) : word_of(arguments[i]));
        }
    }
    queue->notes++;
    return 0;
}

/* The method has raised: that is told, and stays what it raised. */
static PyObject *
raised(Tap *tap, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return NULL;
    }
    PyObject *error = PyErr_GetRaisedException(), *done = NULL;
    int failed = tap->even_if_raised && note(tap, arguments, count, names, Py_None) < 0;
    if (!failed) {
        done = PyObject_CallOneArg(tap->failed, error);
        failed = done == NULL;
    }
    if (failed && give_up(tap) < 0) {
        Py_DECREF(error);
        return NULL;
    }
    Py_XDECREF(done);
    PyErr_SetRaisedException(error);
    return NULL;
}

static PyObject *
call_method(Tap *tap, PyObject *const *arguments, size_t flags, PyObject *names)
{
    PyObject *result = PyObject_Vectorcall(tap->method, arguments, flags, names);
    if (result == NULL) {
        return raised(tap, arguments, PyVectorcall_NARGS(flags), names);
    }
    int failed = note(tap, arguments, PyVectorcall_NARGS(flags), names, result) < 0 && give_up(tap) < 0;
    if (!failed && tap->due != Py_None && ++tap->calls >= tap->until) {
        PyObject *done = PyObject_CallNoArgs(tap->due);
        failed = done == NULL && give_up(tap) < 0;
        Py_XDECREF(done);
    }
    if (failed) {
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *
say(Tap *tap, PyObject *const *Py_UNUSED(arguments), size_t flags, PyObject *names)
{
    if (PyVectorcall_NARGS(flags) || names != NULL) {
        return PyErr_Format(PyExc_TypeError, "no arguments are expected");
    }
    return queue_append(tap->queue, tap->tell);
}

/* Those of the requests that are named, each a new reference. How many they are; -1 with an error set. */
static Py_ssize_t
named_of(PyObject *requests, PyObject *names, PyObject **there)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(names); i++) {
        PyObject *request = PyDict_GetItemWithError(requests, PyList_GET_ITEM(names, i));
        if (request != NULL && request != Py_None) {
            there[count++] = Py_NewRef(request);
        } else if (request == NULL && PyErr_Occurred()) {
            while (count) {
                Py_DECREF(there[--count]);
            }
            return -1;
        }
    }
    return count;
}

#define FEW 64

static int
note_lengths(Tap *tap, PyObject *requests, PyObject *names)
{
    if (!PyDict_Check(requests)) {
        PyErr_Format(PyExc_TypeError, "requests are a dict, not %R", Py_TYPE(requests));
        return -1;
    }
    /* a list of our own: a name's comparison may run code, which changes what was given */
    PyObject *listed = PyDict_CheckExact(names) ? PyDict_Keys(names) : PySequence_List(names);
    if (listed == NULL) {
        return -1;
    }
    Queue *queue = tap->queue;
    Py_ssize_t most = PyList_GET_SIZE(listed), count = -1, few_lengths[FEW], *lengths = few_lengths;
    PyObject *few[FEW], **there = few;
    if (most > FEW) {
        there = PyMem_New(PyObject *, most);
        lengths = PyMem_New(Py_ssize_t, most);
    }
    if (there == NULL || lengths == NULL) {
        PyErr_NoMemory();
    } else {
        count = named_of(requests, listed, there);
    }
    int failed = count < 0;
    for (Py_ssize_t i = 0; !failed && i < count; i++) {
        lengths[i] = tokens_of(there[i]);
        failed = lengths[i] < 0;
    }
    failed = failed || make_room(queue, 2 + 2 * count) < 0;
    if (!failed) {
        put(queue, HEAD(FLAT, 1 + 2 * count));
        put(queue, (Word)Py_NewRef(tap->tell));
        for (Py_ssize_t i = 0; i < count; i++) {
            put(queue, (Word)there[i]);
        }
        for (Py_ssize_t i = 0; i < count; i++) {
            put(queue, word_of_number(lengths[i]));
        }
        queue->notes++;
    }
    while (failed && count > 0) {
        Py_DECREF(there[--count]);
    }
    if (most > FEW) {
        PyMem_Free(there);
        PyMem_Free(lengths);
    }
    Py_DECREF(listed);
    return failed ? -1 : 0;
}

static PyObject *
say_lengths(Tap *tap, PyObject *const *arguments, size_t flags, PyObject *names)
{
    if (PyVectorcall_NARGS(flags) != 2 || names != NULL) {
        return PyErr_Format(PyExc_TypeError, "requests and names are expected");
    }
    if (note_lengths(tap, arguments[0], arguments[1]) < 0 && give_up(tap) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* A tap refers only to what was there before it, so no cycle is of taps alone: it is broken elsewhere, and a tap that
   can be called is whole. */
static int
tap_traverse(Tap *tap, visitproc visit, void *arg)
{
    Py_VISIT(tap->queue);
    Py_VISIT(tap->method);
    Py_VISIT(tap->tell);
    Py_VISIT(tap->failed);
    Py_VISIT(tap->gave_up);
    Py_VISIT(tap->due);
    return 0;
}

static void
tap_dealloc(Tap *tap)
{
    PyObject_GC_UnTrack(tap);
    Py_XDECREF(tap->queue);
    Py_XDECREF(tap->method);
    Py_XDECREF(tap->tell);
    Py_XDECREF(tap->extra);
    Py_XDECREF(tap->failed);
    Py_XDECREF(tap->gave_up);
    Py_XDECREF(tap->due);
    Py_TYPE(tap)->tp_free(tap);
}

static PyMemberDef tap_members[] = {
    {"calls", T_PYSSIZET, offsetof(Tap, calls), 0, NULL},
    {"until", T_PYSSIZET, offsetof(Tap, until), 0, NULL},
    {NULL},
};

static PyTypeObject tap_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "kvref.record.native_taps.Tap",
    .tp_doc = "Called instead of a method.",
    .tp_basicsize = sizeof(Tap),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Tap, call),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = (destructor)tap_dealloc,
    .tp_traverse = (traverseproc)tap_traverse,
    .tp_members = tap_members,
};

/* ---- the module ------------------------------------------------------------------------------------------------ */

static Tap *
new_tap(void *call, Queue *queue, PyObject *method, PyObject *tell, PyObject *failed, PyObject *gave_up)
{
    Tap *tap = (Tap *)tap_type.tp_alloc(&tap_type, 0);
    if (tap != NULL) {
        tap->call = (vectorcallfunc)call;
        tap->queue = (Queue *)Py_NewRef(queue);
        tap->method = Py_NewRef(method);
        tap->tell = Py_NewRef(tell);
        tap->failed = Py_NewRef(failed);
        tap->gave_up = Py_NewRef(gave_up);
        tap->due = Py_NewRef(Py_None);
        tap->extra = Py_NewRef(Py_None);
    }
    return tap;
}

static PyObject *
around(PyObject *Py_UNUSED(module), PyObject *arguments, PyObject *named)
{
    static char *names[] = {"queue", "method", "tell", "failed", "gave_up", "shape",
                            "keeps", "extra", "even_if_raised", NULL};
    PyObject *queue, *method, *tell, *failed, *gave_up, *extra = Py_None;
    int shape, keeps, even_if_raised = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "O!OOOOii|Op", names, &queue_type, &queue, &method, &tell,
                                     &failed, &gave_up, &shape, &keeps, &extra, &even_if_raised)) {
        return NULL;
    }
    Tap *tap = new_tap(call_method, (Queue *)queue, method, tell, failed, gave_up);
    if (tap != NULL) {
        tap->shape = shape;
        tap->keeps = keeps;
        tap->even_if_raised = even_if_raised;
        Py_SETREF(tap->extra, Py_NewRef(extra));
    }
    return (PyObject *)tap;
}

static PyObject *
paced(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *queue, *method, *tell, *failed, *gave_up, *due;
    if (!PyArg_ParseTuple(arguments, "O!OOOOO", &queue_type, &queue, &method, &tell, &failed, &gave_up, &due)) {
        return NULL;
    }
    Tap *tap = new_tap(call_method, (Queue *)queue, method, tell, failed, gave_up);
    if (tap != NULL) {
        tap->shape = BARE;
        tap->keeps = NOTHING;
        tap->until = 1;
        Py_SETREF(tap->due, Py_NewRef(due));
    }
    return (PyObject *)tap;
}

static PyObject *
saying(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *queue, *told;
    if (!PyArg_ParseTuple(arguments, "O!O!", &queue_type, &queue, &PyTuple_Type, &told)) {
        return NULL;
    }
    return (PyObject *)new_tap(say, (Queue *)queue, Py_None, told, Py_None, Py_None);
}

static PyObject *
saying_lengths(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *queue, *tell, *gave_up;
    if (!PyArg_ParseTuple(arguments, "O!OO", &queue_type, &queue, &tell, &gave_up)) {
        return NULL;
    }
    return (PyObject *)new_tap(say_lengths, (Queue *)queue, Py_None, tell, Py_None, gave_up);
}

static PyMethodDef functions[] = {
    {"around", (PyCFunction)(void (*)(void))around, METH_VARARGS | METH_KEYWORDS, NULL},
    {"paced", paced, METH_VARARGS, NULL},
    {"saying", saying, METH_VARARGS, NULL},
    {"saying_lengths", saying_lengths, METH_VARARGS, NULL},
    {NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "kvref.record.native_taps",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC
PyInit_native_taps(void)
{
    all_token_ids = PyUnicode_InternFromString("_all_token_ids");
    blocks_name = PyUnicode_InternFromString("blocks");
    request_name = PyUnicode_InternFromString("request");
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || all_token_ids == NULL || blocks_name == NULL || request_name == NULL ||
        PyModule_AddType(module, &queue_type) < 0 || PyModule_AddType(module, &tap_type) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
