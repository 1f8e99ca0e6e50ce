/*
 * mirror.c - see mirror.h.
 */
#include "tests/kern/mirror.h"
#include "tests/kern/mirror_call.h"

void mirror(struct kern *kn)
{
    device = kn->ops;
    kn->ops = (struct kern_ops){
        .conv_packed = device.conv_packed,
        .alloc = ops_ref.alloc,
        .free = ops_ref.free,
        .available = ops_ref.available,
        .overhead = ops_ref.overhead,
        .put = ops_ref.put,
        .get = ops_ref.get,
        .zero = ops_ref.zero,
        .sync = device.sync,
        .record = ops_ref.record,
    };
    mirror_network(&kn->ops);
    mirror_step(&kn->ops);
}
