/*
 * knn.c - the definition of exact nearest neighbours: every pair, sums in double, insertion in
 * order.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/ref/ref.h"

int ref_knn(struct kern *kn UNUSED, const struct kern_knn *q, int32_t *idx, float *sim)
{
    double *best = malloc(q->k * sizeof(*best));
    if (!best)
        return -ENOMEM;
    for (size_t i = 0; i < q->n; i++) {
        int32_t *row = idx + i * q->k;
        size_t found = 0;
        for (size_t j = 0; j < q->m; j++) {
            if (q->bank_id && q->bank_id[j] == q->query_id[i])
                continue;
            double s = 0;
            for (size_t c = 0; c < q->d; c++)
                s += (double)q->query[i * q->d + c] * q->bank[j * q->d + c];
            if (isnan(s))
                continue;
            size_t at = found;
            while (at > 0 && s > best[at - 1]) /* of equals the earlier row stays in front */
                at--;
            if (at == q->k)
                continue;
            if (found < q->k)
                found++;
            for (size_t t = found - 1; t > at; t--) {
                best[t] = best[t - 1];
                row[t] = row[t - 1];
            }
            best[at] = s;
            row[at] = (int32_t)j;
        }
        for (size_t t = 0; t < q->k; t++) {
            if (t >= found)
                row[t] = -1;
            sim[i * q->k + t] = t < found ? (float)best[t] : -INFINITY;
        }
    }
    free(best);
    return 0;
}
