/*
 * pickle.c - the opcodes of a pickle, in groups.
 *
 * Each takes time in proportion to the bytes and the stack that it consumes, and nothing calls
 * itself.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/pickle_machine.h"
#include <stdlib.h>
#include <string.h>

enum { OTHER = 1 }; /* an opcode that is not of this group */

/* -- groups of opcodes: 0, OTHER or a failure ---- */

static int integer(struct machine *m, int width, bool is_signed)
{
    uint64_t v;
    int rc = machine_number(m, width, &v), empty = 64 - 8 * width;
    if (rc == 0)
        rc = machine_push_new(m, PICKLE_INT);
    if (rc == 0)
        machine_top(m)->i = is_signed && width > 0 ? (int64_t)(v << empty) >> empty : (int64_t)v;
    return rc;
}

static int long_integer(struct machine *m, int width)
{
    const uint8_t *bytes;
    uint64_t n;
    int rc = machine_number(m, width, &n);
    if (rc < 0)
        return rc;
    if (n <= 8)
        return integer(m, (int)n, true);
    rc = machine_take(m, n, &bytes);
    return rc < 0 ? rc : machine_push_new(m, PICKLE_NONE);
}

static int string(struct machine *m, enum pickle_kind kind, int width)
{
    const uint8_t *bytes = NULL;
    uint64_t n;
    int rc = machine_number(m, width, &n);
    if (rc == 0)
        rc = machine_take(m, n, &bytes);
    if (rc == 0)
        rc = machine_push_new(m, kind);
    if (rc < 0)
        return rc;
    machine_top(m)->text = bytes;
    machine_top(m)->len = (size_t)n;
    return 0;
}

static int scalar(struct machine *m, uint64_t op)
{
    const uint8_t *bytes;
    int rc;
    switch (op) {
    case NONE:
        return machine_push_new(m, PICKLE_NONE);
    case NEWTRUE:
    case NEWFALSE:
        rc = machine_push_new(m, PICKLE_INT);
        if (rc == 0)
            machine_top(m)->i = op == NEWTRUE;
        return rc;
    case BININT:
        return integer(m, 4, true);
    case BININT1:
        return integer(m, 1, false);
    case BININT2:
        return integer(m, 2, false);
    case LONG1:
        return long_integer(m, 1);
    case LONG4:
        return long_integer(m, 4);
    case BINFLOAT:
        rc = machine_take(m, 8, &bytes);
        return rc < 0 ? rc : machine_push_new(m, PICKLE_NONE);
    case SHORT_BINUNICODE:
        return string(m, PICKLE_TEXT, 1);
    case BINUNICODE:
        return string(m, PICKLE_TEXT, 4);
    case BINUNICODE8:
        return string(m, PICKLE_TEXT, 8);
    case SHORT_BINSTRING:
    case SHORT_BINBYTES:
        return string(m, PICKLE_BYTES, 1);
    case BINSTRING:
    case BINBYTES:
        return string(m, PICKLE_BYTES, 4);
    case BINBYTES8:
    case BYTEARRAY8:
        return string(m, PICKLE_BYTES, 8);
    default:
        return OTHER;
    }
}

/* The last n of the stack, and the mark below them, become a container; n -1: there is no mark. */
static int collect(struct machine *m, enum pickle_kind kind, long n, bool marked)
{
    uint32_t v;
    if (n < 0 || !machine_has(m, (size_t)n) || (kind == PICKLE_DICT && n % 2 != 0))
        return machine_damaged(m);
    int rc = machine_new(m, kind, &v);
    if (rc == 0)
        rc = machine_move(m, v, (size_t)n);
    if (rc < 0)
        return rc;
    m->depth -= marked;
    return machine_push(m, v);
}

/* The last n of the stack go into the container below them. */
static int fill(struct machine *m, bool pairs, long n, bool marked)
{
    if (n < 0 || (pairs && n % 2 != 0) || m->depth < (size_t)n + marked + 1)
        return machine_damaged(m);
    uint32_t to = m->stack[m->depth - (size_t)n - marked - 1];
    struct pickle_value *v = &m->p->value[to];
    if (to == 0 || !machine_has(m, (size_t)n) || v->kind < PICKLE_LIST || v->kind == PICKLE_GLOBAL)
        return machine_damaged(m);
    if (v->kind == PICKLE_OBJECT && v->nitems == 0)
        v->pairs = pairs;
    if (v->pairs != pairs)
        return machine_damaged(m);
    int rc = machine_move(m, to, (size_t)n);
    m->depth -= marked;
    return rc;
}

static int container(struct machine *m, uint64_t op)
{
    switch (op) {
    case EMPTY_TUPLE:
        return machine_push_new(m, PICKLE_TUPLE);
    case EMPTY_LIST:
    case EMPTY_SET:
        return machine_push_new(m, PICKLE_LIST);
    case EMPTY_DICT:
        return machine_push_new(m, PICKLE_DICT);
    case TUPLE1:
    case TUPLE2:
    case TUPLE3:
        return collect(m, PICKLE_TUPLE, (long)(op - TUPLE1 + 1), false);
    case TUPLE:
        return collect(m, PICKLE_TUPLE, machine_above_mark(m), true);
    case LIST:
    case FROZENSET:
        return collect(m, PICKLE_LIST, machine_above_mark(m), true);
    case DICT:
        return collect(m, PICKLE_DICT, machine_above_mark(m), true);
    case APPEND:
        return fill(m, false, 1, false);
    case APPENDS:
    case ADDITEMS:
        return fill(m, false, machine_above_mark(m), true);
    case SETITEM:
        return fill(m, true, 2, false);
    case SETITEMS:
        return fill(m, true, machine_above_mark(m), true);
    default:
        return OTHER;
    }
}

static int put_memo(struct machine *m, uint64_t slot)
{
    if (!machine_has(m, 1))
        return machine_damaged(m);
    if (slot >= PICKLE_MOST)
        return machine_too_many(m);
    size_t old = m->nmemo;
    int rc = mem_grow(&m->memo, &m->memo_room, (size_t)slot + 1, sizeof *m->memo);
    if (rc < 0)
        return rc;
    m->nmemo = MAX(old, (size_t)slot + 1);
    memset(m->memo + old, 0, (m->nmemo - old) * sizeof *m->memo);
    m->memo[slot] = m->stack[m->depth - 1];
    return 0;
}

static int get_memo(struct machine *m, uint64_t slot)
{
    if (slot >= m->nmemo || m->memo[slot] == 0)
        return machine_damaged(m);
    return machine_push(m, m->memo[slot]);
}

static int memory(struct machine *m, uint64_t op)
{
    int width = op == LONG_BINPUT || op == LONG_BINGET ? 4 : 1, rc;
    uint64_t slot;
    long n;
    switch (op) {
    case MARK:
        return machine_push(m, 0);
    case DUP:
        return machine_has(m, 1) ? machine_push(m, m->stack[m->depth - 1]) : machine_damaged(m);
    case POP:
        if (m->depth == 0)
            return machine_damaged(m);
        m->depth--;
        return 0;
    case POP_MARK:
        if ((n = machine_above_mark(m)) < 0)
            return machine_damaged(m);
        m->depth -= (size_t)n + 1;
        return 0;
    case MEMOIZE:
        return put_memo(m, m->nmemo);
    case BINPUT:
    case LONG_BINPUT:
        rc = machine_number(m, width, &slot);
        return rc < 0 ? rc : put_memo(m, slot);
    case BINGET:
    case LONG_BINGET:
        rc = machine_number(m, width, &slot);
        return rc < 0 ? rc : get_memo(m, slot);
    default:
        return OTHER;
    }
}

/* A line of the file, without its end, as a text on the stack. */
static int line(struct machine *m)
{
    const uint8_t *from = m->p->bytes + m->at, *bytes;
    const uint8_t *end = memchr(from, '\n', m->p->size - m->at);
    int rc = machine_take(m, end ? (uint64_t)(end - from) + 1 : UINT64_MAX, &bytes);
    if (rc == 0)
        rc = machine_push_new(m, PICKLE_TEXT);
    if (rc < 0)
        return rc;
    machine_top(m)->text = from;
    machine_top(m)->len = (size_t)(end - from);
    return 0;
}

/* The last n of the stack become parts of a value. */
static int combine(struct machine *m, enum pickle_kind kind, size_t n)
{
    uint32_t part[3] = { 0 };
    if (!machine_has(m, n))
        return machine_damaged(m);
    m->depth -= n;
    memcpy(part, m->stack + m->depth, n * sizeof *part);
    if (kind == PICKLE_GLOBAL &&
        (m->p->value[part[0]].kind != PICKLE_TEXT || m->p->value[part[1]].kind != PICKLE_TEXT))
        return machine_damaged(m);
    int rc = machine_push_new(m, kind);
    if (rc == 0)
        memcpy(machine_top(m)->part, part, sizeof part);
    return rc;
}

/* The state on the stack is that of the object below it. */
static int build(struct machine *m)
{
    if (!machine_has(m, 2))
        return machine_damaged(m);
    uint32_t state = m->stack[--m->depth];
    if (machine_top(m)->kind == PICKLE_OBJECT)
        machine_top(m)->part[2] = state;
    return 0;
}

static int object(struct machine *m, uint64_t op)
{
    uint64_t n;
    int rc;
    switch (op) {
    case GLOBAL:
        rc = line(m);
        if (rc == 0)
            rc = line(m);
        return rc < 0 ? rc : combine(m, PICKLE_GLOBAL, 2);
    case STACK_GLOBAL:
        return combine(m, PICKLE_GLOBAL, 2);
    case REDUCE:
    case NEWOBJ:
        return combine(m, PICKLE_OBJECT, 2);
    case NEWOBJ_EX: /* the names of its arguments are left out */
        if (!machine_has(m, 3))
            return machine_damaged(m);
        m->depth--;
        return combine(m, PICKLE_OBJECT, 2);
    case BUILD:
        return build(m);
    case PROTO:
        return machine_number(m, 1, &n);
    case FRAME:
        return machine_number(m, 8, &n);
    default:
        return OTHER;
    }
}

static int run(struct machine *m)
{
    static int (*const group[])(struct machine *, uint64_t) = { scalar, container, memory, object };
    uint64_t op;
    int rc;
    while ((rc = machine_number(m, 1, &op)) == 0 && op != STOP) {
        rc = OTHER;
        for (size_t i = 0; i < ARRAY_LEN(group) && rc == OTHER; i++)
            rc = group[i](m, op);
        if (rc == OTHER)
            rc = fail(-EINVAL,
                      "%s: the pickle has opcode 0x%02x before byte %zu; no checkpoint does",
                      m->p->name, (unsigned)op, m->at);
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return rc;
    if (!machine_has(m, 1))
        return machine_damaged(m);
    m->p->root = m->stack[m->depth - 1];
    return 0;
}

int pickle_read(struct pickle *p, const char *name, const uint8_t *bytes, size_t size)
{
    *p = (struct pickle){ .name = name, .bytes = bytes, .size = size };
    struct machine m = { .p = p };
    int rc = mem_grow(&p->value, &p->values_room, 1, sizeof *p->value);
    if (rc == 0)
        rc = mem_grow(&p->link, &p->links_room, 1, sizeof *p->link);
    if (rc == 0) {
        p->value[0] = (struct pickle_value){ 0 };
        p->nvalues = p->nlinks = 1; /* 0 means none */
        rc = run(&m);
    }
    free(m.stack);
    free(m.memo);
    if (rc < 0)
        pickle_release(p);
    return rc;
}

void pickle_release(struct pickle *p)
{
    free(p->value);
    free(p->link);
    *p = (struct pickle){ 0 };
}

size_t pickle_items(const struct pickle *p, uint32_t v, uint32_t *item, size_t n)
{
    size_t k = 0;
    for (uint32_t l = p->value[v].first; l && k < n; l = p->link[l].next)
        item[k++] = p->link[l].value;
    return k;
}
