/*
 * tensors.c - opening a file of tensors, and the list of what is in it.
 */
#include "common/data/tensors.h"
#include "common/base/fail.h"
#include "common/base/text.h"
#include "common/data/stream.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TENSORS_MOST = 1 << 17 };
#define SPOOL_LIMIT ((size_t)64 << 20) /* bytes of a pipe kept in memory */

/* -- the file's bytes ---- */

static int read_pipe(struct tensors *t, int fd)
{
    static uint8_t block[1 << 16];
    ssize_t n;
    if (isatty(fd))
        return fail(-EUSAGE, "%s is a terminal: name a file, or pipe one in", t->name);
    spool_init(&t->spool, SPOOL_LIMIT, NULL);
    while ((n = read(fd, block, sizeof block)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("%s", t->name);
        int rc = spool_append(&t->spool, block, (size_t)n);
        if (rc < 0)
            return rc;
    }
    t->bytes = t->spool.data;
    t->size = t->spool.len;
    return 0;
}

/* Where a mapped file has been cut off since, or its disk fails, the kernel sends SIGBUS. */
static char cut_off[512];

static void die(int signal UNUSED)
{
    (void)!write(STDERR_FILENO, cut_off, strlen(cut_off));
    (void)!write(STDERR_FILENO, "\n", 1);
    _exit(EXIT_INPUT);
}

static int map_file(struct tensors *t, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_errno("%s", t->name);
    if (S_ISDIR(st.st_mode))
        return fail(-EISDIR, "%s: is a folder", t->name);
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return read_pipe(t, fd);
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return fail_errno("%s: cannot be mapped", t->name);
    t->mapped = true;
    snprintf(cut_off, sizeof cut_off, "%.400s: was cut off while it was read, or its disk fails",
             t->name);
    text_tidy(cut_off);
    signal(SIGBUS, die);
    t->bytes = map;
    t->size = (size_t)st.st_size;
    return 0;
}

/* -- the list ---- */

int tensors_add(struct tensors *t, const char *name, struct tensor **item)
{
    if (t->n == TENSORS_MOST)
        return fail(-EINVAL, "%s: holds more than %d tensors", t->name, TENSORS_MOST);
    if (mem_grow(&t->item, &t->room, t->n + 1, sizeof *t->item) < 0)
        return -ENOMEM;
    *item = &t->item[t->n];
    **item = (struct tensor){ .name = mem_strdup(name) };
    if (!(*item)->name)
        return -ENOMEM;
    text_tidy((*item)->name);
    t->n++;
    return 0;
}

int tensors_add_note(struct tensors *t, char *key, char *value)
{
    if (t->nnotes == TENSORS_MOST) {
        free(key);
        free(value);
        return fail(-EINVAL, "%s: holds more than %d notes", t->name, TENSORS_MOST);
    }
    if (!key || !value || mem_grow(&t->note, &t->notes_room, t->nnotes + 1, sizeof *t->note) < 0) {
        free(key);
        free(value);
        return -ENOMEM;
    }
    t->note[t->nnotes++] = (struct tensor_note){ key, value };
    return 0;
}

int tensor_set_count(const struct tensors *t, struct tensor *item)
{
    bool fits = true;
    item->count = 1;
    for (int i = 0; i < item->ndim && fits; i++)
        fits = !__builtin_mul_overflow(item->count, item->dim[i], &item->count);
    if (fits && item->count <= SIZE_MAX / sizeof(double))
        return 0;
    return fail(-EINVAL, "%s: the shape of %s is too large", t->name, item->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

static int sort(struct tensors *t)
{
    if (t->n > 0)
        qsort(t->item, t->n, sizeof *t->item, by_name);
    for (size_t i = 1; i < t->n; i++)
        if (strcmp(t->item[i - 1].name, t->item[i].name) == 0)
            return fail(-EINVAL, "%s: holds %s twice", t->name, t->item[i].name);
    return 0;
}

/* A pickle's first number may be that of a protocol; safetensors begins with a length. */
static int list(struct tensors *t)
{
    const uint8_t *b = t->bytes;
    uint64_t length = 0;
    for (int i = 0; i < 8 && t->size >= 8; i++)
        length |= (uint64_t)b[i] << 8 * i;
    bool fits = t->size > 8 && length <= t->size - 8;
    bool pickle = t->size >= 2 && b[0] == 0x80 && b[1] >= 2 && b[1] <= 5;
    int rc;
    if (t->size == 0)
        return fail(-EINVAL, "%s: is empty", t->name);
    if (t->size > 8 && b[8] == '{' && (fits || !pickle)) {
        t->format = TENSORS_SAFETENSORS;
        rc = safetensors_list(t);
    } else if (pickle) {
        t->format = TENSORS_PICKLE;
        rc = pickle_list(t);
    } else if (t->size >= 4 && memcmp(b, "PK\3\4", 4) == 0) {
        rc = fail(-EINVAL, "%s: is a zip file, as torch.save() makes them; safetensors is read",
                  t->name);
    } else if (h5_signature(b, MIN(t->size, (size_t)8))) {
        rc = fail(-EINVAL, "%s: is HDF5, as checkpoints are; these need no import", t->name);
    } else {
        rc = fail(-EINVAL, "%s: is neither safetensors nor a pickle of protocol 2 to 5", t->name);
    }
    return rc < 0 ? rc : sort(t);
}

int tensors_memory(struct tensors *t, const char *name, const uint8_t *bytes, size_t n)
{
    *t = (struct tensors){ .name = mem_strdup(name), .bytes = bytes, .size = n };
    int rc = t->name ? list(t) : -ENOMEM;
    if (rc < 0)
        tensors_release(t);
    return rc;
}

int tensors_open(struct tensors *t, const char *path)
{
    bool standard = strcmp(path, "-") == 0;
    *t = (struct tensors){ .name = mem_strdup(standard ? "standard input" : path) };
    if (!t->name)
        return -ENOMEM;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? fail_errno("%s", path) : map_file(t, fd);
    if (fd >= 0 && !standard)
        close(fd);
    if (rc == 0)
        rc = list(t);
    if (rc < 0)
        tensors_release(t);
    return rc;
}

void tensors_release(struct tensors *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->item[i].name);
    for (size_t i = 0; i < t->nnotes; i++) {
        free(t->note[i].key);
        free(t->note[i].value);
    }
    for (size_t i = 0; i < t->nunknown; i++)
        free(t->unknown[i]);
    free(t->item);
    free(t->note);
    free(t->unknown);
    free(t->name);
    if (t->mapped) {
        signal(SIGBUS, SIG_DFL);
        munmap((void *)(uintptr_t)t->bytes, t->size);
    }
    spool_release(&t->spool);
    *t = (struct tensors){ 0 };
}

const struct tensor *tensors_find(const struct tensors *t, const char *name)
{
    struct tensor key = { .name = (char *)(uintptr_t)name };
    return t->n ? bsearch(&key, t->item, t->n, sizeof *t->item, by_name) : NULL;
}

const char *tensors_note(const struct tensors *t, const char *key)
{
    for (size_t i = 0; i < t->nnotes; i++)
        if (strcmp(t->note[i].key, key) == 0)
            return t->note[i].value;
    return NULL;
}
