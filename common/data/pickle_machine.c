/*
 * pickle_machine.c - see pickle_machine.h.
 */
#include "common/data/pickle_machine.h"
#include "common/base/fail.h"
#include "common/base/mem.h"

int machine_damaged(const struct machine *m)
{
    return fail(-EINVAL, "%s: the pickle is damaged before byte %zu", m->p->name, m->at);
}

int machine_too_many(const struct machine *m)
{
    return fail(-EINVAL, "%s: the pickle has more than %d values, which no checkpoint has",
                m->p->name, PICKLE_MOST);
}

/* -- the file ---- */

int machine_take(struct machine *m, uint64_t n, const uint8_t **bytes)
{
    if (n > m->p->size - m->at)
        return fail(-EIO, "%s: the pickle is cut off", m->p->name);
    *bytes = m->p->bytes + m->at;
    m->at += (size_t)n;
    return 0;
}

int machine_number(struct machine *m, int width, uint64_t *v)
{
    const uint8_t *b;
    int rc = machine_take(m, (uint64_t)width, &b);
    *v = 0;
    for (int i = 0; i < width && rc == 0; i++)
        *v |= (uint64_t)b[i] << 8 * i;
    return rc;
}

/* -- values and the stack ---- */

int machine_new(struct machine *m, enum pickle_kind kind, uint32_t *v)
{
    struct pickle *p = m->p;
    if (p->nvalues > PICKLE_MOST)
        return machine_too_many(m);
    int rc = mem_grow(&p->value, &p->values_room, p->nvalues + 1, sizeof *p->value);
    if (rc < 0)
        return rc;
    p->value[p->nvalues] = (struct pickle_value){ .kind = kind, .pairs = kind == PICKLE_DICT };
    *v = (uint32_t)p->nvalues++;
    return 0;
}

int machine_push(struct machine *m, uint32_t v)
{
    if (m->depth == PICKLE_MOST)
        return machine_too_many(m);
    int rc = mem_grow(&m->stack, &m->stack_room, m->depth + 1, sizeof *m->stack);
    if (rc == 0)
        m->stack[m->depth++] = v;
    return rc;
}

int machine_push_new(struct machine *m, enum pickle_kind kind)
{
    uint32_t v;
    int rc = machine_new(m, kind, &v);
    return rc < 0 ? rc : machine_push(m, v);
}

struct pickle_value *machine_top(struct machine *m)
{
    return &m->p->value[m->stack[m->depth - 1]];
}

bool machine_has(const struct machine *m, size_t n)
{
    if (m->depth < n)
        return false;
    for (size_t i = m->depth - n; i < m->depth; i++)
        if (m->stack[i] == 0)
            return false;
    return true;
}

long machine_above_mark(const struct machine *m)
{
    for (size_t i = m->depth; i-- > 0;)
        if (m->stack[i] == 0)
            return (long)(m->depth - i - 1);
    return -1;
}

int machine_move(struct machine *m, uint32_t to, size_t n)
{
    struct pickle *p = m->p;
    if (p->nlinks + n > PICKLE_MOST)
        return machine_too_many(m);
    int rc = mem_grow(&p->link, &p->links_room, p->nlinks + n + 1, sizeof *p->link);
    if (rc < 0)
        return rc;
    struct pickle_value *v = &p->value[to];
    for (size_t i = m->depth - n; i < m->depth; i++) {
        uint32_t link = (uint32_t)p->nlinks++;
        p->link[link] = (struct pickle_link){ m->stack[i], 0 };
        if (v->nitems++ == 0)
            v->first = link;
        else
            p->link[v->last].next = link;
        v->last = link;
    }
    m->depth -= n;
    return 0;
}
