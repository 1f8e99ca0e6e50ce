/*
 * h5open.c - see h5open.h.
 */
#include "common/data/h5open.h"
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/h5.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK ((size_t)64 << 20) /* bytes of a dataset read at a time */
#define MAX_DEPTH 8
#define MAX_OBJECTS 200000

static int open_file(struct h5in *in)
{
    int error = 0;
    hid_t fapl =
        in->image ? h5image_fapl(in->image, in->size, &error) : h5fd_fapl(in->fd, in->size, &error);

    in->file = H5Fopen(in->name, H5F_ACC_RDONLY, fapl);
    H5Pclose(fapl);
    H5Eclear2(H5E_DEFAULT);
    if (in->file < 0) {
        in->file = -1;
        if (error == ENOMEM)
            return fail(-ENOMEM, "%s: no memory to open it", in->name);
        return fail(-EIO, "%s: damaged HDF5 file (or still being written)", in->name);
    }
    return 0;
}

/* -- in the child: errors do not matter, they come again in the parent ---- */

struct walk {
    const struct h5in *in;
    char path[512];
    size_t len, objects;
    int depth;
};

static int nothing(void *arg UNUSED, const char *name UNUSED, enum h5_attr_kind kind UNUSED,
                   int64_t i UNUSED, double d UNUSED, const char *s UNUSED)
{
    return 0;
}

static void try_dataset(const struct walk *w)
{
    enum h5_type type;
    size_t dim[8], n, row = 1, step;
    uint64_t offset;
    char **list;
    void *block;
    int ndim;

    if (h5_describe(w->in, w->path, &type, 8, &ndim, dim) < 0) {
        if (h5_read_strings(w->in, w->path, &list, &n) == 0) {
            while (n > 0)
                free(list[--n]);
            free(list);
        }
        return;
    }
    if (ndim == 0 || h5_offset(w->in, w->path, type, &offset) != -ENOTSUP)
        return; /* bytes in one piece: no metadata on the way to them */
    for (int i = 1; i < ndim; i++)
        row *= dim[i];
    step = MAX(BLOCK / MAX(row * h5_sizeof(type), 1), 1);
    if (!(block = mem_alloc(MIN(step, dim[0]), row * h5_sizeof(type), w->path)))
        return;
    for (size_t first = 0; first < dim[0]; first += step)
        if (h5_read_rows(w->in, w->path, type, first, MIN(step, dim[0] - first), row, block) < 0)
            break;
    free(block);
}

static herr_t try_link(hid_t group UNUSED, const char *name, const H5L_info_t *info UNUSED,
                       void *arg)
{
    struct walk *w = arg;
    size_t before = w->len, n = strlen(name);
    hid_t object;

    if (w->len + n + 2 > sizeof(w->path) || w->depth > MAX_DEPTH || w->objects++ > MAX_OBJECTS)
        return -1;
    if (w->len > 0)
        w->path[w->len++] = '/';
    memcpy(w->path + w->len, name, n + 1);
    w->len += n;
    if (h5_object(w->in, w->path, &object) == 0) {
        H5I_type_t kind = H5Iget_type(object);
        if (kind == H5I_DATASET) {
            try_dataset(w);
        } else if (kind == H5I_GROUP) {
            w->depth++;
            H5Literate(object, H5_INDEX_NAME, H5_ITER_INC, NULL, try_link, w);
            w->depth--;
        }
        H5Oclose(object);
    }
    w->len = before;
    w->path[before] = '\0';
    return 0;
}

static void try_all(struct h5in *in)
{
    struct walk w = { .in = in };

    if (in->file < 0 && open_file(in) < 0)
        return;
    h5_each_attr(in, nothing, NULL);
    H5Literate(in->file, H5_INDEX_NAME, H5_ITER_INC, NULL, try_link, &w);
    H5Fclose(in->file);
}

/* -- in the parent ---- */

/* A crash is expected here: nobody's handler, no core; and what never ends is ended. */
static void prepare_to_die(const struct h5in *in)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU };
    struct rlimit cpu = { 5 + in->size / (1 << 20), RLIM_INFINITY }, core = { 0, 0 };

    for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
        signal(crashes[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &core);
    setrlimit(RLIMIT_CPU, &cpu);
}

static int try_in_child(struct h5in *in)
{
    int status;

    signal(SIGCHLD, SIG_DFL); /* where it is ignored, nobody hears of the child's end */
    pid_t child = fork();
    if (child < 0)
        return fail_errno("%s: no process to try it in", in->name);
    if (child == 0) {
        prepare_to_die(in);
        try_all(in);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return fail_errno("%s: no process to try it in", in->name);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail(-EIO, "%s: damaged HDF5 file, which the HDF5 library does not survive",
                    in->name);
    return 0;
}

int h5open(struct h5in *in, unsigned superblock)
{
    int rc;

    if (superblock < 2 && (rc = try_in_child(in)) < 0)
        return rc;
    if ((rc = open_file(in)) < 0)
        return rc;
    return superblock < 2 || h5_has_attr(in, "", "checksum") ? 0 : try_in_child(in);
}
