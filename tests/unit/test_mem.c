/*
 * test_mem.c - sizes that would wrap, growth, and spools on both sides of their limit.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "tests/t.h"
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_alloc(void)
{
    size_t v = 0;
    ok(mem_product(&v, 3, 5) == 0 && v == 15, "a product");
    ok(mem_product(&v, SIZE_MAX / 2, 3) == -EOVERFLOW, "a product that wraps: %s", fail_text());
    ok(mem_product(&v, SIZE_MAX, 0) == 0 && v == 0, "nothing of much is nothing");
    unsigned char *p = mem_alloc(3, 7, "a test");
    bool zero = true;
    for (int i = 0; i < 21; i++)
        zero = zero && p[i] == 0;
    ok(zero && (uintptr_t)p % 64 == 0, "memory is zeroed and aligned");
    free(p);
    ok((p = mem_alloc(0, 8, "a test")) != NULL, "no element is no failure");
    free(p);
    for (size_t bytes = 1 << 20; bytes <= 16 << 20; bytes *= 16) {
        p = mem_block(bytes + 1);
        ok(p && (uintptr_t)p % (bytes < 4 << 20 ? 64 : 2 << 20) == 0, "a block of %zu bytes",
           bytes + 1);
        if (p)
            p[0] = p[bytes] = 1;
        free(p);
    }
    bool clear = true;
    size_t bytes = (16 << 20) + 1;
    free(mem_block(28 << 20)); /* from then on the C library keeps what is smaller when released */
    for (int i = 0; i < 3; i++) {
        p = mem_zeroed(bytes);
        for (size_t k = 0; k < bytes; k += 1021)
            clear = clear && p[k] == 0;
        clear = clear && p[bytes - 1] == 0;
        free(memset(p, 1, bytes));
    }
    ok(clear, "a large block is zeroed each time");
    ok(!mem_block(SIZE_MAX - 8) && !mem_block(PTRDIFF_MAX), "no block next to the end");
    ok(!mem_alloc(SIZE_MAX / 4, 8, "a wrap"), "a size that wraps: %s", fail_text());
    ok(!mem_alloc(SIZE_MAX - 8, 1, "too much"), "a size next to the end: %s", fail_text());
}

static void check_grow(void)
{
    int *a = NULL;
    size_t room = 0, moves = 0;
    bool good = true;
    for (size_t n = 0; n < 10000; n++) {
        size_t before = room;
        good = good && mem_grow(&a, &room, n + 1, sizeof *a) == 0;
        moves += room != before;
        a[n] = (int)n;
    }
    for (int n = 0; n < 10000; n++)
        good = good && a[n] == n;
    ok(good && room >= 10000, "an array grows and keeps its contents");
    ok(moves < 20, "in %zu moves", moves);
    int *same = a;
    ok(mem_grow(&a, &room, SIZE_MAX / 2, sizeof *a) == -ENOMEM && a == same && a[9999] == 9999,
       "growth that fails leaves the array: %s", fail_text());
    free(a);
    char *s = mem_printf("%s-%05d", "x", 42), *t = mem_strdup("x-00042");
    ok(s && t && strcmp(s, t) == 0, "text");
    free(s);
    free(t);
}

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

static void check_spool(size_t limit, bool file, const char *what)
{
    struct spool s;
    bool good = true;
    uint8_t piece[777];
    size_t total = 0;
    spool_init(&s, limit, NULL);
    for (int i = 0; i < 3000; i++) {
        for (size_t j = 0; j < sizeof piece; j++)
            piece[j] = byte_at(total + j);
        good = good && spool_append(&s, piece, sizeof piece) == 0;
        total += sizeof piece;
    }
    for (size_t i = 0; i < total && good; i++)
        good = s.data[i] == byte_at(i);
    ok(good && s.len == total, "%s: %zu bytes come back", what, total);
    ok((s.fd > 0) == file, "%s: is %sin a file", what, file ? "" : "not ");
    struct stat st;
    if (file)
        ok(fstat(s.fd, &st) == 0 && st.st_nlink == 0, "%s: the file has no name", what);
    size_t room = s.room;
    spool_clear(&s);
    ok(s.len == 0 && s.room == room && spool_append(&s, "abc", 3) == 0 && !memcmp(s.data, "abc", 3),
       "%s: cleared and used again", what);
    spool_release(&s);
    spool_release(&s);
    ok(spool_append(&s, "abc", 3) == 0 && s.len == 3, "%s: used again after release", what);
    spool_release(&s);
}

static void check_spool_failures(void)
{
    struct spool s;
    spool_init(&s, 10, "/nowhere");
    ok(spool_append(&s, "0123456789", 10) == 0, "memory needs no folder");
    ok(spool_append(&s, "x", 1) == -ENOENT && s.len == 10 && !memcmp(s.data, "0123456789", 10),
       "a spool without a folder keeps what it has: %s", fail_text());
    spool_release(&s);

    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 3 << 20;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    static uint8_t piece[1 << 20];
    memset(piece, 7, sizeof piece);
    int rc = 0, n = 0;
    spool_init(&s, 0, NULL);
    while (n < 10 && (rc = spool_append(&s, piece, sizeof piece)) == 0)
        n++;
    ok(n == 3 && rc == -ENOSPC, "a file grows to the last byte allowed (%d): %s", n, fail_text());
    ok(s.len == 3 * sizeof piece && s.data[s.len - 1] == 7, "and keeps what it has");
    spool_release(&s);
    setrlimit(RLIMIT_FSIZE, &old);

    struct spool zero = { 0 };
    spool_release(&zero);
    ok(zero.data == NULL, "a zeroed spool is safe to release");
}

int main(void)
{
    check_alloc();
    check_grow();
    check_spool(SIZE_MAX, false, "in memory");
    check_spool(100000, true, "over the limit");
    check_spool(0, true, "without memory");
    check_spool_failures();
    return done();
}
