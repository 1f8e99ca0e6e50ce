/*
 * mirror_call.h - for mirror's files: one call on a device whose memory is apart.
 *
 * A slot lists the arrays that it reads and writes, sends them there, runs with the device's
 * pointers, and brings back what may have been written. Whatever fails ends the program.
 */
#ifndef SEMPPL_MIRROR_CALL_H
#define SEMPPL_MIRROR_CALL_H

#include "kernels/ops.h"

extern struct kern_ops device; /* its own table */

enum { F = sizeof(float), MOST = 160 };

/* An array of the call, or several that overlap. */
struct block {
    uint8_t *host;
    size_t bytes;
    uint8_t *dev;         /* with its guards, GUARD bytes or more before and behind */
    uint8_t *sent, *came; /* the same on the host, before and after the call */
    size_t before, all;   /* the guard before; all bytes */
};

struct call {
    struct kern *kn;
    const char *name;
    struct block block[MOST];
    struct {
        uint8_t *host;
        size_t bytes;
    } written[MOST];
    int nblocks, nwritten;
};

__attribute__((noreturn)) void die(const struct call *k, const char *what);

/* What the call touches, listed before it is sent: arrays may overlap; NULL and 0 bytes are none.
 */
void reads(struct call *k, const void *p, size_t bytes);
void writes(struct call *k, void *p, size_t bytes);

void call_send(struct call *k);
/* Where p lies on the device; NULL if the call has no business there. */
void *at(struct call *k, const void *p);
int call_receive(struct call *k, int rc); /* rc, which is the call's */

/* One slot: its arrays are listed before, the device's pointers are at(&k, p). */
#define CALL(what) struct call k = { .kn = kn, .name = what }
#define RUN(expression) (call_send(&k), call_receive(&k, (expression)))

/* Rows that a list of them reaches. */
size_t rows_of(const int32_t *list, size_t n);

/* Fill the slots of theirs: networks, what a step does besides. */
void mirror_network(struct kern_ops *ops);
void mirror_step(struct kern_ops *ops);

#endif
