/*
 * knn_search.cuh - for knn.cu: what is known of a block of queries and of the bank.
 */
#ifndef SEMPPL_KNN_SEARCH_CUH
#define SEMPPL_KNN_SEARCH_CUH

#include "kernels/cuda/storage.cuh"

enum {
    WARP = 32,
    EACH = 8,              /* scores of a lane: 16 bytes */
    COLUMNS = WARP * EACH, /* of a warp; pieces and tiles are whole multiples */
    SELECT_WARPS = 8,
    SELECT_EACH = 16, /* queries of a warp, for which it keeps the bounds of its columns */
    AHEAD = 8,        /* of which are on their way */
    SAMPLE = 512,     /* rows that make the mean */
    MEAN_LANES = 16,
    ROUND_WARPS = 8,
    LIST = 1024, /* candidates of a query, at least; else LIST_K k */
    LIST_K = 4,
    SORT_SHARED = 2048, /* candidates that are sorted in shared memory */
    SORT_LEAST = 64,
    CROWD = 8,         /* crowded queries that meet rows together */
    CROWD_WARPS = 8,   /* and a row for each lane */
    CROWD_ROOM = 1024, /* candidates beside the k best */
    STRETCHES = 64,    /* of the bank, that crowded queries are searched in apart, at most */
    STRETCH = 1024,    /* rows, at least */
};

#define ALL 0xffffffffu

/* One block of queries and what is known of it. */
struct search {
    size_t n, m, d, k; /* k: at most m */
    const float *query, *bank;
    const uint64_t *query_id, *bank_id;
    uint64_t step;           /* position p is row p * step % m */
    size_t d16;              /* numbers of a rounded row, zeros behind d */
    size_t room, tile;       /* of a list; columns of a tile */
    unsigned *largest;       /* bits of the sample's largest number */
    float *mean;             /* [d] */
    f16 *piece;              /* [rows][d16] */
    float *scale, *error;    /* [m], by position */
    f16 *query16;            /* [n][d16] */
    float *reach, *least;    /* [n]; least: who has a lower upper bound is passed over */
    int *listed;             /* [n], how many wanted to be listed */
    float *low;              /* [n][room], lower bounds */
    int *at;                 /* [n][room], positions; with the sums, rows */
    f16 *score;              /* [n][tile] */
    unsigned long long *key; /* [n][room], in the memory of the scores, as all below */
    int *crowded, *ncrowded;
    int stretches, parts; /* of the bank; parts: entries of a crowded query below */
    unsigned long long *part_key;
    int *part_row;
    int slot; /* entries of a block and query */
    unsigned long long *slot_key;
    int *slot_row;
};

__device__ static inline size_t row_of(const search &s, size_t position)
{
    return position * s.step % s.m;
}

__device__ static inline bool own(const search &s, size_t query, size_t row)
{
    return s.bank_id && s.bank_id[row] == s.query_id[query];
}

/* 2^e, e from -126 to 127. */
__device__ static inline float power(int e)
{
    return __int_as_float((e + 127) << 23);
}

#endif
