/*
 * stage.c - see stage.h.
 */
#include "common/model/stage.h"
#include "common/base/fail.h"

static int to_device(struct kern *kn, float **dev, const float *host, size_t n)
{
    *dev = kern_alloc(kn, MAX(n, (size_t)1) * sizeof(float));
    if (!*dev)
        return fail(-ENOMEM, "no memory for %zu weights", n);
    if (kern_put(kn, *dev, host, n * sizeof(float)) < 0)
        return fail(-EIO, "cannot copy weights to the device");
    return 0;
}

int stage_open(struct stage *st, struct kern *kn, const struct net *net, const float *param,
               const float *running, size_t rows)
{
    int rc;
    *st = (struct stage){ .net = net };
    if ((rc = to_device(kn, &st->w.param, param, net->floats)) < 0 ||
        (rc = to_device(kn, &st->w.running, running, net->stat_floats)) < 0)
        return rc;
    if ((rc = net_pack(kn, net, &st->w)) < 0)
        return rc;
    return net_infer_open(&st->infer, kn, net, &st->w, rows);
}

void stage_close(struct stage *st, struct kern *kn)
{
    if (!st->net)
        return;
    net_infer_close(st->infer);
    net_unpack(kn, st->net, &st->w);
    kern_free(kn, st->w.param);
    kern_free(kn, st->w.running);
    *st = (struct stage){ 0 };
}
