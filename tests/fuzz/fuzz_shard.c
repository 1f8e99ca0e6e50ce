/*
 * fuzz_shard.c - any bytes as image and embedding shards: every row is read, or the file refused.
 */
#include "common/data/embed.h"
#include "common/data/shard.h"
#include "tests/fuzz/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void make_shard(size_t side)
{
    struct classes c = { 0 };
    struct shard_writer *w;
    uint8_t bytes[300] = { 1, 2, 3 }, plane[100] = { 0, 255 }, *png;
    struct mask m = { 10, 10, plane };
    size_t n;

    classes_add(&c, "cat");
    classes_add(&c, "dog");
    edit_must(mask_encode(&m, &png, &n) == 0);
    edit_must(shard_writer_open(&w, edit_path[1], 0, side, true, &c, "{}", NULL) == 0);
    for (uint32_t i = 0; i < 5; i++) {
        struct shard_row r = { .key = "photo.jpg",
                               .keylen = 5 + i % 5,
                               .id = i,
                               .label = 1,
                               .h = 10,
                               .w = 10,
                               .orientation = 1,
                               .bytes = bytes,
                               .nbytes = side ? 300 : 100 + i,
                               .mask = i % 2 == 0 ? NULL
                                       : side     ? plane
                                                  : png,
                               .nmask = i % 2 == 0 ? 0
                                        : side     ? 100
                                                   : n };
        edit_must(shard_writer_add(w, &r) == 0);
    }
    edit_must(shard_writer_close(w, NULL) == 0);
    free(png);
    classes_release(&c);
}

static void make_embedding(void)
{
    static const struct embed_kind kind = { "features", "online", "0123456789abcdef", true };
    uint64_t id[3] = { 1, 2, 3 }, offset[4] = { 0, 1, 2, 3 };
    int32_t label[3] = { -1, -1, -1 };
    float x[6] = { 1, 2, 3, 4, 5, 6 };
    struct rows r = {
        .n = 3, .id = id, .label = label, .key = (uint8_t *)"abc", .key_offset = offset
    };
    struct embed_writer *w;

    edit_must(embed_writer_open(&w, edit_path[1], 2, &kind, NULL) == 0 &&
              embed_writer_add(w, &r, 0, 3, x) == 0 && embed_writer_close(w) == 0);
}

static void read_shards(char *path)
{
    struct stream *st;
    struct shard s;

    if (stream_open(&st, &path, 1) < 0)
        return;
    while (shard_next(st, &s) == 1) {
        for (size_t i = 0; i < s.rows.n && i < 100; i++) {
            size_t len = shard_row_bytes(&s, i);
            uint8_t *row = malloc(len);
            (void)shard_row_read(&s, i, row);
            free(row);
            struct mask m;
            if (shard_row_mask(&s, i, &m) > 0)
                edit_must(m.h == s.size[i][0] && m.w == s.size[i][1] && mask_cover(&m) > 0);
            mask_release(&m);
            edit_must(s.rows.label[i] < (int)s.rows.classes.n);
        }
        shard_close(&s);
    }
    stream_close(st);
}

static void read_embeddings(char *path)
{
    struct embed_all all;

    if (embed_read_all(&all, &path, 1, 1 << 20) < 0)
        return;
    for (size_t i = 0; i < all.e.rows.n * all.e.d; i++)
        edit_must(all.e.x[i] == all.e.x[i]);
    embed_all_release(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct edit_base base[3][EDIT_FILES];

    if (!base[0][0].bytes) {
        edit_names();
        make_shard(0);
        edit_init(base[0]);
        make_shard(10);
        edit_init(base[1]);
        make_embedding();
        edit_init(base[2]);
    }
    if (n < 1)
        return 0;
    bool as_is = h5_signature(bytes, n);
    char *path = (char *)edit_file(base[bytes[0] / EDIT_FILES % 3], bytes, n);
    if (as_is || bytes[0] / EDIT_FILES % 3 < 2)
        read_shards(path);
    if (as_is || bytes[0] / EDIT_FILES % 3 == 2)
        read_embeddings(path);
    return 0;
}
