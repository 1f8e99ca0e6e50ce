/*
 * edit.h - a fuzzer's input as a list of edits of a good HDF5 file.
 *
 * Metadata of our own files is under checksums, so random bytes end there. Each good file is
 * therefore also kept as HDF5 of 1998 would write it, without checksums, and the same in chunks
 * with deflate. An input that begins like HDF5 is taken as it is; of any other, the first byte
 * chooses the file, and every five bytes that follow are an edit: kind, place, value.
 */
#ifndef SEMPPL_EDIT_H
#define SEMPPL_EDIT_H

#include "common/base/base.h"
#include "common/data/stream.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EDIT_FILES 3

struct edit_base {
    uint8_t *bytes;
    size_t n;
};

/* HDF5 loses memory when it refuses a damaged file. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static char edit_path[2][64]; /* the edited file, and one to make good files in */

static void edit_must(bool good)
{
    if (!good) {
        perror("fuzzer");
        abort();
    }
}

static struct edit_base edit_load(const char *path)
{
    struct stat sb;
    int fd = open(path, O_RDONLY);

    edit_must(fd >= 0 && fstat(fd, &sb) == 0);
    struct edit_base b = { malloc((size_t)sb.st_size), (size_t)sb.st_size };
    edit_must(b.bytes && read(fd, b.bytes, b.n) == (ssize_t)b.n);
    close(fd);
    return b;
}

static herr_t edit_copy_attr(hid_t from, const char *name, const H5A_info_t *info UNUSED, void *to)
{
    char value[4096];
    hid_t a = H5Aopen(from, name, H5P_DEFAULT), type = H5Aget_type(a), space = H5Aget_space(a);
    hid_t b = H5Acreate2(*(hid_t *)to, name, type, space, H5P_DEFAULT, H5P_DEFAULT);

    edit_must(H5Tget_size(type) < sizeof(value) && H5Aread(a, type, value) >= 0 &&
              H5Awrite(b, type, value) >= 0);
    H5Aclose(a);
    H5Aclose(b);
    H5Tclose(type);
    H5Sclose(space);
    return 0;
}

struct edit_copy {
    hid_t to;
    bool packed;
};

/* A dataset of the root again, in chunks if packed and not empty; a group as it is. */
static herr_t edit_copy_link(hid_t from, const char *name, const H5L_info_t *info UNUSED, void *arg)
{
    struct edit_copy *c = arg;
    hid_t object = H5Oopen(from, name, H5P_DEFAULT), dcpl = H5Pcreate(H5P_DATASET_CREATE);

    if (H5Iget_type(object) != H5I_DATASET) {
        edit_must(H5Ocopy(from, name, c->to, name, H5P_DEFAULT, H5P_DEFAULT) >= 0);
    } else {
        hid_t type = H5Dget_type(object), space = H5Dget_space(object);
        hsize_t dim[4], n = (hsize_t)H5Sget_simple_extent_npoints(space);
        int rank = H5Sget_simple_extent_dims(space, dim, NULL);
        void *bytes = malloc(n * H5Tget_size(type) + 1);
        H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes);
        if (c->packed && n > 0 && rank > 0) {
            dim[0] = (dim[0] + 1) / 2;
            H5Pset_chunk(dcpl, rank, dim);
            H5Pset_shuffle(dcpl);
            H5Pset_deflate(dcpl, 1);
        }
        hid_t set = H5Dcreate2(c->to, name, type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
        edit_must(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0);
        H5Dclose(set);
        H5Tclose(type);
        H5Sclose(space);
        free(bytes);
    }
    H5Pclose(dcpl);
    H5Oclose(object);
    return 0;
}

/* The file at edit_path[1], as it is and in the two old ways. */
static void edit_init(struct edit_base base[EDIT_FILES])
{
    base[0] = edit_load(edit_path[1]);
    for (int i = 1; i < EDIT_FILES; i++) {
        hid_t from = H5Fopen(edit_path[1], H5F_ACC_RDONLY, H5P_DEFAULT);
        hid_t to = H5Fcreate(edit_path[0], H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        struct edit_copy c = { to, i == 2 };
        edit_must(H5Aiterate2(from, H5_INDEX_NAME, H5_ITER_INC, NULL, edit_copy_attr, &to) >= 0);
        /* a checksum would end most edits of columns */
        (void)H5Adelete(to, "checksum");
        edit_must(H5Literate(from, H5_INDEX_NAME, H5_ITER_INC, NULL, edit_copy_link, &c) >= 0);
        H5Fclose(from);
        H5Fclose(to);
        base[i] = edit_load(edit_path[0]);
    }
    unlink(edit_path[1]);
}

/* Where a child tries a file that kills it, neither words nor artifacts are wanted. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));
static void edit_die(void)
{
    _exit(1);
}
static void edit_child(void)
{
    int fd = open("/dev/null", O_WRONLY);

    dup2(fd, STDERR_FILENO);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(edit_die);
}

static void edit_clean(void)
{
    unlink(edit_path[0]);
}

/* Names for this process's two files; in memory where there is such a place. */
static void edit_names(void)
{
    const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    for (int i = 0; i < 2; i++)
        snprintf(edit_path[i], sizeof(edit_path[i]), "%s/semppl-fuzz-%ld-%d", dir, (long)getpid(),
                 i);
    pthread_atfork(NULL, NULL, edit_child);
    atexit(edit_clean);
}

static void edit_apply(uint8_t *bytes, size_t *n, const uint8_t edit[5])
{
    static const uint64_t odd[] = { 0,          1,          2,          0x7f,       0xff,
                                    0xffff,     0x7fffffff, 0xffffffff, 1ull << 32, 1ull << 40,
                                    1ull << 60, INT64_MAX,  UINT64_MAX };
    size_t at = (edit[1] | (size_t)edit[2] << 8 | (size_t)edit[3] << 16) % *n;
    uint64_t v = odd[edit[4] % ARRAY_LEN(odd)];

    switch (edit[0] % 8) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << (edit[4] & 7));
        break;
    case 1:
        memcpy(bytes + at, &v, MIN(*n - at, 2));
        break;
    case 2:
        memcpy(bytes + at, &v, MIN(*n - at, 4));
        break;
    case 3:
        memcpy(bytes + at, &v, MIN(*n - at, 8));
        break;
    case 4: /* bytes from elsewhere */
        memmove(bytes + at, bytes + (at * 31 + edit[4] * 64u) % (*n - MIN(*n - at, 16) + 1),
                MIN(*n - at, 16));
        break;
    case 5:
        if (edit[4] == 0) /* seldom: an end */
            *n = MAX(at, 1);
        break;
    default:
        bytes[at] = edit[4];
    }
}

/* Makes the file that the input describes; its path. */
static const char *edit_file(const struct edit_base base[EDIT_FILES], const uint8_t *in, size_t n)
{
    int fd = open(edit_path[0], O_CREAT | O_TRUNC | O_WRONLY, 0600);

    edit_must(fd >= 0);
    if (n > 0 && !h5_signature(in, n)) {
        const struct edit_base *b = &base[in[0] % EDIT_FILES];
        uint8_t *bytes = malloc(b->n);
        size_t len = b->n;
        memcpy(bytes, b->bytes, len);
        for (size_t i = 1; i + 5 <= n; i += 5)
            edit_apply(bytes, &len, in + i);
        edit_must(write(fd, bytes, len) == (ssize_t)len);
        free(bytes);
    } else {
        edit_must(write(fd, in, n) == (ssize_t)n);
    }
    close(fd);
    return edit_path[0];
}

#endif
