/*
 * pickle_machine.h - the machine that a pickle drives: a place in the file, a stack of values, and
 * a memo of those that come again. Private to pickle*.c.
 *
 * Values are numbers in pickle.value; on the stack 0 is a mark. Functions return 0 or a negative
 * errno (worded).
 */
#ifndef SEMPPL_PICKLE_MACHINE_H
#define SEMPPL_PICKLE_MACHINE_H

#include "common/data/pickle.h"

/* The opcodes that a checkpoint may have, by their names in CPython's pickletools.py. */
enum pickle_op {
    MARK = '(',
    STOP = '.',
    POP = '0',
    POP_MARK = '1',
    DUP = '2',
    NONE = 'N',
    NEWTRUE = 0x88,
    NEWFALSE = 0x89,
    BININT = 'J',
    BININT1 = 'K',
    BININT2 = 'M',
    LONG1 = 0x8a,
    LONG4 = 0x8b,
    BINFLOAT = 'G',
    BINUNICODE = 'X',
    SHORT_BINUNICODE = 0x8c,
    BINUNICODE8 = 0x8d,
    BINSTRING = 'T',
    SHORT_BINSTRING = 'U',
    BINBYTES = 'B',
    SHORT_BINBYTES = 'C',
    BINBYTES8 = 0x8e,
    BYTEARRAY8 = 0x96,
    EMPTY_TUPLE = ')',
    EMPTY_LIST = ']',
    EMPTY_DICT = '}',
    EMPTY_SET = 0x8f,
    TUPLE = 't',
    TUPLE1 = 0x85,
    TUPLE2 = 0x86,
    TUPLE3 = 0x87,
    LIST = 'l',
    DICT = 'd',
    FROZENSET = 0x91,
    APPEND = 'a',
    APPENDS = 'e',
    ADDITEMS = 0x90,
    SETITEM = 's',
    SETITEMS = 'u',
    BINPUT = 'q',
    LONG_BINPUT = 'r',
    MEMOIZE = 0x94,
    BINGET = 'h',
    LONG_BINGET = 'j',
    GLOBAL = 'c',
    STACK_GLOBAL = 0x93,
    REDUCE = 'R',
    NEWOBJ = 0x81,
    NEWOBJ_EX = 0x92,
    BUILD = 'b',
    PROTO = 0x80,
    FRAME = 0x95,
};

struct machine {
    struct pickle *p;
    size_t at; /* of the next byte */
    uint32_t *stack, *memo;
    size_t depth, stack_room, nmemo, memo_room;
};

int machine_damaged(const struct machine *m);  /* words it, -EINVAL */
int machine_too_many(const struct machine *m); /* likewise */

/* The next n bytes of the file; a little-endian number of width bytes. */
int machine_take(struct machine *m, uint64_t n, const uint8_t **bytes);
int machine_number(struct machine *m, int width, uint64_t *v);

int machine_new(struct machine *m, enum pickle_kind kind, uint32_t *v);
int machine_push(struct machine *m, uint32_t v);
int machine_push_new(struct machine *m, enum pickle_kind kind);
struct pickle_value *machine_top(struct machine *m); /* of a stack that has a value on top */
bool machine_has(const struct machine *m, size_t n); /* the last n of the stack are values */
long machine_above_mark(const struct machine *m);    /* values above the last mark; -1: no mark */
int machine_move(struct machine *m, uint32_t to, size_t n); /* the last n become items of to */

#endif
