/*
 * photos.c - from encoded pictures to the network's input, on one core: what a training step asks
 * of its workers. The floor of reading is a copy; that of decoding is decoding at an eighth of the
 * size, where little is left to do but entropy decoding. Views decode no more than the box of their
 * crops.
 */
#include "bench/bench.h"
#include "common/base/fail.h"
#include "common/model/views.h"
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h> /* wants stdio.h */

enum { BATCH = 64 };

struct job {
    struct shard_set data;
    struct views views;
    struct sample batch[BATCH];
    uint64_t id[BATCH];
    uint8_t *bytes;
    size_t nbytes; /* of the batch, encoded */
    int64_t step;
};

static void read_rows(void *arg)
{
    struct job *j = arg;
    j->nbytes = 0;
    for (size_t i = 0; i < BATCH; i++) {
        size_t row;
        const struct shard *s = shard_set_find(&j->data, j->batch[i].row, &row);
        if (shard_row_read(s, row, j->bytes) < 0)
            bench_die(fail_text());
        j->nbytes += shard_row_bytes(s, row);
    }
}

static void decode(void *arg)
{
    struct job *j = arg;
    for (size_t i = 0; i < BATCH; i++) {
        size_t row;
        struct image im;
        const struct shard *s = shard_set_find(&j->data, j->batch[i].row, &row);
        if (shard_row_image(s, row, &im) < 0)
            bench_die(fail_text());
        image_release(&im);
    }
}

static void decode_eighth(void *arg)
{
    struct job *j = arg;
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr err;
    JSAMPLE pixels[4096], *line = pixels;
    jpeg.err = jpeg_std_error(&err); /* leaves the program, in words */
    jpeg_create_decompress(&jpeg);
    for (size_t i = 0; i < BATCH; i++) {
        size_t row;
        const struct shard *s = shard_set_find(&j->data, j->batch[i].row, &row);
        if (shard_row_read(s, row, j->bytes) < 0)
            bench_die(fail_text());
        jpeg_mem_src(&jpeg, j->bytes, shard_row_bytes(s, row));
        jpeg_read_header(&jpeg, TRUE);
        jpeg.scale_denom = 8;
        jpeg_start_decompress(&jpeg);
        if (jpeg.output_width * 3 > sizeof(pixels))
            bench_die("a picture is too wide");
        while (jpeg.output_scanline < jpeg.output_height)
            jpeg_read_scanlines(&jpeg, &line, 1);
        jpeg_finish_decompress(&jpeg);
    }
    jpeg_destroy_decompress(&jpeg);
}

static void load(void *arg)
{
    struct job *j = arg;
    if (views_load(&j->views, j->step++, j->batch, j->id) < 0)
        bench_die(fail_text());
}

static void print_row(const char *what, double seconds, double floor, const char *floor_name)
{
    double rate = BATCH / seconds;
    printf("| %s | %.0f | %.0f %% | %.0f (%s) |\n", what, rate, 100 * rate / floor, floor,
           floor_name);
    fflush(stdout);
}

/* One crop of each picture; without colours, the settings' changes are left out. */
static void crop(struct job *j, struct kern *kn, struct pool *pool, int side, bool colours,
                 double floor)
{
    struct settings set;
    char what[80];
    settings_preset(&set, 0);
    set.batch = BATCH;
    set.large_crops = 1;
    set.small_crops = 0;
    set.large_side = side;
    set.large_area_min = 0.08;
    if (!colours)
        set.jitter = set.grey = set.blur_a = set.solarise_a = 0;
    if (views_open(&j->views, kn, pool, &j->data, &set, KERN_F32) < 0)
        bench_die(fail_text());
    snprintf(what, sizeof(what), "decode, random resized crop to %d%s", side,
             colours ? ", colours, blur" : "");
    print_row(what, bench_seconds(load, j), floor, "entropy decoding");
    views_close(&j->views);
}

void photos(struct bench *b)
{
    struct job j = { 0 };
    struct pool *one;
    struct kern *kn;
    if (pool_open(&one, 1) < 0 || kern_open(&kn, one) < 0)
        bench_die("cannot open a kernel handle");
    if (shard_set_open(&j.data, &b->photos, 1) < 0)
        bench_die(fail_text());
    if (j.data.nrows == 0)
        bench_die("the shard is empty");
    size_t most = 0;
    for (size_t row = 0; row < j.data.nrows; row++)
        most = MAX(most, shard_row_bytes(&j.data.shard[0], row));
    for (size_t i = 0; i < BATCH; i++)
        j.batch[i] = (struct sample){ .row = i * 31 % j.data.nrows, .label = -1 };
    j.bytes = bench_random(KERN_F32, most / 4 + 1);
    read_rows(&j);
    printf("## Pictures of %u x %u, %.0f kB of JPEG each, on one core\n\n",
           j.data.shard[0].size[0][1], j.data.shard[0].size[0][0], 1e-3 * (double)j.nbytes / BATCH);
    printf("| work | pictures/s | share | floor, pictures/s |\n|:--|--:|--:|:--|\n");
    size_t each = j.nbytes / BATCH;
    double copy = ceiling_copy(&(struct bench){ .pool = one }, BATCH * each, each, 1) / 2;
    print_row("reading, checked", bench_seconds(read_rows, &j), 1e9 * copy / (double)each,
              "a copy of the bytes");
    double floor = BATCH / bench_seconds(decode_eighth, &j);
    print_row("full decode", bench_seconds(decode, &j), floor, "entropy decoding");
    crop(&j, kn, one, 224, false, floor);
    crop(&j, kn, one, 224, true, floor);
    printf("\n");
    free(j.bytes);
    shard_set_close(&j.data);
    kern_close(kn);
    pool_close(one);
}
