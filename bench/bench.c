/*
 * bench.c - the tables of `make bench` that need no program: all, or those that are named. SHARD
 * holds JPEGs.
 *
 *     bench SHARD [layers] [passes] [search] [photos]
 */
#include "bench/bench.h"
#include <string.h>

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(struct bench *b);
    } tables[] = {
        { "layers", layers }, { "passes", passes }, { "search", search }, { "photos", photos }
    };
    struct bench b = { 0 };
    if (argc < 2)
        bench_die("usage: bench SHARD [layers] [passes] [search] [photos]");
    b.photos = argv[1];
    if (pool_open(&b.pool, 0) < 0 || kern_open(&b.kn, b.pool) < 0)
        bench_die("cannot open a kernel handle");
    ceilings(&b);
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        bool named = argc < 3;
        for (int j = 2; j < argc; j++)
            named = named || strcmp(argv[j], tables[i].name) == 0;
        if (named)
            tables[i].print(&b);
    }
    kern_close(b.kn);
    pool_close(b.pool);
    return 0;
}
