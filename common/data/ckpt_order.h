/*
 * ckpt_order.h - the parts of a checkpoint in name order, and tensors' shapes in words. Private to
 * ckpt*.c.
 */
#ifndef SEMPPL_CKPT_ORDER_H
#define SEMPPL_CKPT_ORDER_H

#include "common/data/ckpt.h"

struct ckpt_order {
    const struct ckpt_tensor **tensor; /* [ntensors] bytewise by name */
    const struct ckpt_attr **attr;     /* [nattrs] likewise */
};

int ckpt_order_init(struct ckpt_order *o, const struct ckpt *c);
void ckpt_order_release(struct ckpt_order *o);
void ckpt_sort(struct ckpt *c); /* tensors and attributes in place */

const char *ckpt_name(const struct ckpt *c); /* for messages, never NULL */
bool ckpt_same_shape(const struct ckpt_tensor *a, const struct ckpt_tensor *b); /* and type */
#define CKPT_SHAPE_TEXT 128
const char *ckpt_shape_text(const struct ckpt_tensor *t,
                            char out[CKPT_SHAPE_TEXT]); /* f32 [3][4] */

#endif
