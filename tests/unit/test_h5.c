/*
 * test_h5.c - HDF5 out and in again, and everything that must be refused.
 */
#include "common/base/fail.h"
#include "common/base/mem.h"
#include "common/data/h5.h"
#include "tests/t.h"
#include "tests/unit/files.h"
#include <limits.h>
#include <sys/resource.h>

static const float vec[6] = { 0, -0.0f, 1.5f, NAN, INFINITY, -3 };
static const uint64_t big[2] = { UINT64_MAX, 7 };

/* One file with everything the writer can do. */
static int write_all(const char *path)
{
    static char *words[] = { "caf\xc3\xa9", "", "longer than the others" };
    struct history h = { 0 };
    struct h5out o;
    int rc = h5out_open(&o, path);

    if (rc < 0)
        return rc;
    h5_write(&o, "a/b/vec", H5_F32, 2, (size_t[]){ 2, 3 }, vec);
    h5_write(&o, "a/big", H5_U64, 1, (size_t[]){ 2 }, big);
    h5_write(&o, "scalar", H5_I64, 0, NULL, &(int64_t){ -5 });
    h5_write(&o, "empty", H5_U8, 1, (size_t[]){ 0 }, NULL);
    h5_write(&o, "narrow", H5_U16, 2, (size_t[]){ 3, 1 }, (uint16_t[]){ 1, 2, 65535 });
    uint8_t *block = mem_alloc(100000, 1, "block");
    for (int i = 0; i < 100000; i++)
        block[i] = (uint8_t)(i * 7);
    h5_write(&o, "block", H5_U8, 1, (size_t[]){ 100000 }, block);
    free(block);
    h5_write_strings(&o, "words", words, 3);
    h5_write_strings(&o, "no_words", NULL, 0);
    h5_put_int(&o, "", "int", INT64_MIN);
    h5_put_int(&o, "", "int", 42); /* replaces */
    h5_put_double(&o, "a", "third", 1.0 / 3);
    h5_put_string(&o, "", "text", "caf\xc3\xa9");
    h5_put_string(&o, "", "nothing", "");
    history_add(&h, "{\"program\": \"one\"}");
    history_add(&h, "{\"program\": \"two, with a longer line\"}");
    rc = h5out_commit(&o, "test-format", 1, &h);
    history_release(&h);
    return rc;
}

static void test_values(void)
{
    struct h5in in;
    struct history h = { 0 };
    float f[6];
    double d[6], third;
    uint64_t u[2];
    int64_t i;
    uint16_t row;
    size_t dim[4], n;
    char *s, **list;

    ok(write_all("all.h5") == 0, "a file is written: %s", fail_text());
    ok(h5in_open(&in, "all.h5") == 0, "and opened: %s", fail_text());
    ok(h5_check_format(&in, "test-format", 1, &h) == 0 && h.n == 2 &&
           !strcmp(h.line[1], "{\"program\": \"two, with a longer line\"}"),
       "its format, its history");
    history_release(&h);
    ok(h5_shape(&in, "a/b/vec", H5_F32, 2, dim) == 0 && dim[0] == 2 && dim[1] == 3, "a shape");
    ok(h5_read(&in, "a/b/vec", H5_F32, 6, f) == 0 && !memcmp(f, vec, sizeof(f)),
       "floats, bit for bit");
    ok(h5_read(&in, "a/b/vec", H5_F64, 6, d) == 0 && d[2] == 1.5 && isnan(d[3]), "and as doubles");
    ok(h5_read(&in, "a/big", H5_U64, 2, u) == 0 && u[0] == UINT64_MAX, "64 bits");
    ok(h5_read(&in, "scalar", H5_I64, 1, &i) == 0 && i == -5, "a scalar");
    ok(h5_shape(&in, "empty", H5_U8, 1, dim) == 0 && dim[0] == 0 &&
           h5_read(&in, "empty", H5_U8, 0, NULL) == 0,
       "nothing");
    ok(h5_read_rows(&in, "narrow", H5_U16, 2, 1, 1, &row) == 0 && row == 65535, "one row");
    ok(h5_read_rows(&in, "narrow", H5_U16, 2, 2, 1, &row) == -EINVAL, "not past the last");
    ok(h5_read_rows(&in, "narrow", H5_U16, SIZE_MAX, 2, 1, &row) == -EINVAL, "nor far past it");
    ok(h5_read_strings(&in, "words", &list, &n) == 0 && n == 3 && !strcmp(list[0], "caf\xc3\xa9") &&
           !*list[1] && !strcmp(list[2], "longer than the others"),
       "strings");
    for (size_t k = 0; k < n; k++)
        free(list[k]);
    free(list);
    ok(h5_read_strings(&in, "no_words", &list, &n) == 0 && n == 0, "no strings");
    free(list);
    ok(h5_attr_int(&in, "", "int", &i) == 0 && i == 42, "an integer attribute");
    ok(h5_attr_double(&in, "a", "third", &third) == 0 && third == 1.0 / 3, "one of a group");
    ok(h5_attr_string(&in, "", "text", &s) == 0 && !strcmp(s, "caf\xc3\xa9"), "a text");
    free(s);
    ok(h5_attr_string(&in, "", "nothing", &s) == 0 && !*s, "an empty text");
    free(s);
    ok(h5_has(&in, "a/b") && h5_has(&in, "a/b/vec") && !h5_has(&in, "a/c") && !h5_has(&in, "z/b") &&
           !h5_has(&in, "scalar/b"),
       "what is there");

    H5O_info_t root, group, set;
    ok(H5Oget_info_by_name(in.file, "/", &root, H5P_DEFAULT) >= 0 && root.ctime == 0 &&
           H5Oget_info_by_name(in.file, "a/b", &group, H5P_DEFAULT) >= 0 && group.ctime == 0 &&
           H5Oget_info_by_name(in.file, "block", &set, H5P_DEFAULT) >= 0 && set.ctime == 0,
       "no times");
    uint64_t at;
    uint8_t byte[3];
    ok(h5_offset(&in, "block", H5_U8, &at) == 0 && at % 64 == 0, "a large dataset is aligned");
    ok(h5_pread(&in, at + 99997, byte, 3) == 0 && byte[2] == (uint8_t)(99999 * 7),
       "and its bytes lie in the file");
    ok(h5_pread(&in, in.size - 1, byte, 2) == -EIO && h5_pread(&in, UINT64_MAX, byte, 2) == -EIO,
       "but not behind it");
    h5in_close(&in);
}

static int name_attr(void *arg, const char *name, enum h5_attr_kind kind, int64_t i UNUSED,
                     double d UNUSED, const char *s UNUSED)
{
    char *all = arg;

    strcat(strcat(all, name), kind == H5_ATTR_INT ? "i " : kind == H5_ATTR_DOUBLE ? "d " : "s ");
    return strcmp(name, "stop") == 0 ? fail(-EINVAL, "stopped") : 0;
}

static void test_refusals(void)
{
    struct h5in in;
    char text[200] = "", *s;
    double d;
    int64_t i;
    float f[6];
    size_t dim[4];

    files_must(h5in_open(&in, "all.h5") == 0, "all.h5");
    ok(h5_each_attr(&in, name_attr, text) == 0 &&
           !strcmp(text, "completei formats inti nothings texts versioni "),
       "attributes in name order: %s", text);
    ok(h5_attr_int(&in, "", "absent", &i) == -ENOENT && strstr(fail_text(), "absent"), "no such");
    ok(h5_attr_int(&in, "", "text", &i) == -EINVAL &&
           h5_attr_string(&in, "", "int", &s) == -EINVAL &&
           h5_attr_double(&in, "", "text", &d) == -EINVAL,
       "of another kind");
    ok(h5_shape(&in, "none", H5_F32, 1, dim) == -ENOENT && strstr(fail_text(), "all.h5") &&
           strstr(fail_text(), "none"),
       "no such dataset: %s", fail_text());
    ok(h5_shape(&in, "a/b", H5_F32, 1, dim) == -EINVAL, "a group is no dataset: %s", fail_text());
    ok(h5_shape(&in, "a/b/vec", H5_F32, 3, dim) == -EINVAL, "dimensions: %s", fail_text());
    ok(h5_shape(&in, "a/b/vec", H5_I32, 2, dim) == -EINVAL, "type: %s", fail_text());
    ok(h5_shape(&in, "words", H5_U8, 1, dim) == -EINVAL, "strings: %s", fail_text());
    ok(h5_shape(&in, "a/big", H5_I64, 1, dim) == -EINVAL, "sign: %s", fail_text());
    ok(h5_read(&in, "a/b/vec", H5_F32, 5, f) == -EINVAL, "count: %s", fail_text());
    ok(h5_check_format(&in, "other", 1, NULL) == -EINVAL && strstr(fail_text(), "test-format"),
       "format: %s", fail_text());
    ok(h5_check_format(&in, "test-format", 0, NULL) == -EINVAL, "version: %s", fail_text());
    h5in_close(&in);
}

/* Files by another hand: made with the bare library. */
static hid_t bare(const char *path)
{
    return H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
}

static void bare_set(hid_t file, const char *name, hid_t type, hsize_t n, hid_t dcpl)
{
    hid_t space = H5Screate_simple(1, &n, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);

    if (n <= 4)
        H5Dwrite(set, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, (int[]){ 1, 2, 3, 4 });
    H5Dclose(set);
    H5Sclose(space);
}

static void test_foreign(void)
{
    static const hsize_t two = 2, lots = (hsize_t)1 << 40, wide = (hsize_t)1 << 29;
    hid_t file = bare("foreign.h5"), chunked = H5Pcreate(H5P_DATASET_CREATE);
    hid_t external = H5Pcreate(H5P_DATASET_CREATE), late = H5Pcreate(H5P_DATASET_CREATE);
    hid_t odd = H5Pcreate(H5P_DATASET_CREATE), huge = H5Pcreate(H5P_DATASET_CREATE);
    struct h5in in;
    uint64_t at;
    size_t dim;
    int32_t v[4];

    H5Pset_chunk(chunked, 1, &two);
    H5Pset_shuffle(chunked);
    H5Pset_deflate(chunked, 4);
    H5Pset_chunk(odd, 1, &two);
    H5Pset_scaleoffset(odd, H5Z_SO_INT, 0);
    H5Pset_chunk(huge, 1, &wide);
    H5Pset_alloc_time(late, H5D_ALLOC_TIME_LATE);
    H5Pset_external(external, "raw.bin", 0, 16);
    files_write("raw.bin", "0123456789abcdef", 16);
    bare_set(file, "chunked", H5T_STD_I32LE, 4, chunked);
    bare_set(file, "odd", H5T_STD_I32LE, 4, odd);
    bare_set(file, "huge", H5T_STD_I32LE, wide, huge);
    bare_set(file, "external", H5T_STD_I32LE, 4, external);
    bare_set(file, "bomb", H5T_STD_I32LE, lots, late);
    bare_set(file, "deflated_bomb", H5T_STD_I32LE, lots, chunked);
    bare_set(file, "big_endian", H5T_STD_I32BE, 4, H5P_DEFAULT);
    bare_set(file, "i16", H5T_STD_I16LE, 4, H5P_DEFAULT);
    H5Lcreate_soft("/i16", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("all.h5", "/scalar", file, "out", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("all.h5", "/a", file, "group", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    H5Pclose(chunked);
    H5Pclose(external);
    H5Pclose(late);
    H5Pclose(odd);
    H5Pclose(huge);

    files_must(h5in_open(&in, "foreign.h5") == 0, fail_text());
    ok(h5_read(&in, "chunked", H5_I32, 4, v) == 0 && v[3] == 4, "chunks and deflate are read");
    ok(h5_offset(&in, "chunked", H5_I32, &at) == -ENOTSUP, "but have no offset");
    ok(h5_read(&in, "big_endian", H5_I32, 4, v) == 0 && v[3] == 4, "big-endian is converted");
    ok(h5_offset(&in, "big_endian", H5_I32, &at) == -ENOTSUP, "and has no offset either");
    ok(h5_shape(&in, "i16", H5_I32, 1, &dim) == -EINVAL, "width: %s", fail_text());
    ok(h5_shape(&in, "odd", H5_I32, 1, &dim) == -EINVAL, "filter: %s", fail_text());
    ok(h5_shape(&in, "huge", H5_I32, 1, &dim) == -EINVAL, "chunk: %s", fail_text());
    ok(h5_shape(&in, "external", H5_I32, 1, &dim) == -EINVAL, "storage: %s", fail_text());
    ok(h5_shape(&in, "bomb", H5_I32, 1, &dim) == -EINVAL, "size: %s", fail_text());
    ok(h5_shape(&in, "deflated_bomb", H5_I32, 1, &dim) == -EINVAL, "packed: %s", fail_text());
    ok(h5_shape(&in, "soft", H5_I32, 1, &dim) == -EINVAL, "soft link: %s", fail_text());
    ok(h5_shape(&in, "out", H5_I64, 0, &dim) == -EINVAL, "external link: %s", fail_text());
    ok(h5_shape(&in, "group/big", H5_U64, 1, &dim) == -EINVAL, "on the way: %s", fail_text());
    ok(h5_check_format(&in, "x", 1, NULL) == -EINVAL, "no format: %s", fail_text());
    h5in_close(&in);
}

static void read_damaged(const char *path, size_t *good)
{
    char text[4096] = "", *s;
    struct h5in in;
    int32_t v[4];

    if (h5in_open(&in, path) < 0)
        return;
    if (h5_each_attr(&in, name_attr, text) == 0 && h5_attr_string(&in, "", "text", &s) == 0) {
        ++*good;
        free(s);
    }
    *good += h5_read(&in, "group/chunked", H5_I32, 4, v) == 0;
    h5in_close(&in);
}

/* HDF5 of 1998, as h5py writes it: no checksums, and a library that damage kills. */
static void test_damage(void)
{
    static const hsize_t two = 2;
    hid_t file = bare("old.h5"), chunked = H5Pcreate(H5P_DATASET_CREATE), space, attr;
    hid_t text = H5Tcopy(H5T_C_S1);
    const char *word = "a text of variable length";
    unsigned long seed = 9 + t_seed(); /* the default has damage that crashes HDF5 1.10.8 */
    size_t n, good = 0, whole = 0;

    H5Pset_chunk(chunked, 1, &two);
    H5Pset_deflate(chunked, 4);
    hid_t group = H5Gcreate2(file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bare_set(group, "chunked", H5T_STD_I32LE, 4, chunked);
    H5Tset_size(text, H5T_VARIABLE);
    space = H5Screate(H5S_SCALAR);
    attr = H5Acreate2(file, "text", text, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attr, text, &word);
    H5Aclose(attr);
    H5Sclose(space);
    H5Tclose(text);
    H5Pclose(chunked);
    H5Gclose(group);
    H5Fclose(file);

    read_damaged("old.h5", &whole);
    ok(whole == 2, "text of variable length in a file of another program");
    uint8_t *a = files_read("old.h5", &n);
    int fd = open("old.h5", O_WRONLY), words = dup(STDERR_FILENO),
        null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO); /* what a sanitizer says of HDF5 in a child */
    for (int i = 0; i < 400; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(seed >> 20) % n;
        uint8_t byte = (uint8_t)(seed >> 56);
        files_must(pwrite(fd, &byte, 1, (off_t)at) == 1, "flip");
        read_damaged("old.h5", &good);
        files_must(pwrite(fd, &a[at], 1, (off_t)at) == 1, "flip");
    }
    dup2(words, STDERR_FILENO);
    close(words);
    close(null);
    ok(good > 0 && good < 800, "is survived when damaged: %zu of 800 answers", good);
    close(fd);
    free(a);
}

static void test_outputs(void)
{
    struct h5out o;
    struct rlimit whole, small;
    int before, saved, rc;

    ok(write_all("again.h5") == 0 && files_equal("all.h5", "again.h5"), "the same bytes again");
    saved = files_stdout("piped.h5");
    rc = write_all("-");
    files_stdout_back(saved);
    ok(rc == 0 && files_equal("all.h5", "piped.h5"), "and through standard output");

    before = files_count();
    files_must(h5out_open(&o, "all.h5") == 0, "all.h5");
    h5_write(&o, "x", H5_I64, 0, NULL, &(int64_t){ 1 });
    h5out_abort(&o);
    h5out_abort(&o);
    ok(files_count() == before && files_equal("all.h5", "again.h5"),
       "an abort leaves the old file, and nothing beside it");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (h5out_open(&o, "killed.h5") == 0)
            h5_write(&o, "x", H5_I64, 0, NULL, &(int64_t){ 1 });
        kill(getpid(), SIGKILL);
    }
    waitpid(child, NULL, 0);
    ok(files_count() == before, "neither does a kill");

    ok(h5out_open(&o, "no/such/folder.h5") == -ENOENT && strstr(fail_text(), "no/such/folder.h5"),
       "no folder: %s", fail_text());
    ok(h5out_open(&o, ".") == -EISDIR, "a folder: %s", fail_text());
    files_must(symlink("all.h5", "link.h5") == 0, "symlink");
    struct stat sb;
    ok(write_all("link.h5") == 0 && lstat("link.h5", &sb) == 0 && S_ISLNK(sb.st_mode),
       "a symbolic link stays one");
    ok(write_all("/dev/null") == 0 && stat("/dev/null", &sb) == 0 && S_ISCHR(sb.st_mode),
       "a device stays one");
    ok(write_all("/dev/full") == -ENOSPC && fail_status(-ENOSPC) == EXIT_RESOURCE &&
           strstr(fail_text(), "/dev/full"),
       "a full device: %s", fail_text());

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &whole);
    small = whole;
    small.rlim_cur = 50000;
    setrlimit(RLIMIT_FSIZE, &small);
    rc = write_all("again.h5");
    setrlimit(RLIMIT_FSIZE, &whole);
    ok(fail_status(rc) == EXIT_RESOURCE && strstr(fail_text(), "again.h5"), "no room: %s",
       fail_text());
    ok(files_equal("all.h5", "again.h5"), "and the old file is whole");
}

/* HDF5 neither goes to a terminal nor comes from one. */
static void test_terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    struct stream *st;
    struct h5out o;

    if (master < 0) { /* a chroot or container without /dev/pts */
        ok(true, "neither to nor from a terminal # SKIP no pseudo-terminals");
        return;
    }
    files_must(grantpt(master) == 0 && unlockpt(master) == 0, "a terminal");
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    int out = dup(STDOUT_FILENO), in = dup(STDIN_FILENO);
    files_must(slave >= 0, "a terminal");
    fflush(stdout);
    dup2(slave, STDOUT_FILENO);
    dup2(slave, STDIN_FILENO);
    int put = h5out_open(&o, "-"), get = stream_open(&st, NULL, 0);
    dup2(out, STDOUT_FILENO);
    dup2(in, STDIN_FILENO);
    ok(put == -EUSAGE, "not to a terminal");
    ok(get == -EUSAGE, "nor from one: %s", fail_text());
    close(master);
    close(slave);
    close(out);
    close(in);
}

int main(void)
{
    files_enter();
    test_values();
    test_refusals();
    test_foreign();
    test_damage();
    test_outputs();
    test_terminal();
    ok(files_idle(), "nothing of HDF5 is left open");
    return done();
}
