/*
 * parts.c - how finely tasks are cut where that changes no bit of the result: by output channels,
 * or by rows that have nothing to do with one another. Only these cuts may follow the number of
 * threads; those of sums never do.
 */
#include "kernels/cpu/cpu.h"

size_t cpu_parts(const struct kern *kn, size_t n, size_t pieces, size_t most, double again)
{
    enum { ROUNDS = 16 };    /* then the last one does not matter */
    const double LATE = 0.1; /* what the slowest of a round takes longer */
    size_t threads = (size_t)pool_threads(kn->pool), best = 1;
    double least = 0;
    for (size_t parts = 1; parts <= MIN(pieces, most); parts++) {
        size_t rounds = (n * parts + threads - 1) / threads;
        double largest = (double)((pieces + parts - 1) / parts) / (double)pieces;
        double time = (double)rounds * (largest + again) + LATE * largest; /* in tasks */
        if (parts == 1 || time < least) {
            best = parts;
            least = time;
        }
        if (rounds >= ROUNDS)
            break;
    }
    return best;
}
