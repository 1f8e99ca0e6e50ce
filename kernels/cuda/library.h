/*
 * library.h - private to the CUDA plugin: vendor libraries, opened when they are first needed and
 * never linked. They are found as the system's loader finds any library.
 *
 * A user lists the calls it makes once; the table's types are those of the vendor's header, so that
 * a changed signature breaks the build and not the run:
 *
 *     #define CALLS(X) X(cublasLtCreate) X(cublasLtDestroy)
 *     static struct {
 *         CALLS(LIBRARY_POINTER)
 *     } lt;
 *     #define SYMBOL(name) { #name, &lt.name },
 *     static const struct library_symbol symbols[] = { CALLS(SYMBOL) { NULL, NULL } };
 *     static const char *const files[] = { "libcublasLt.so.13", "libcublasLt.so.12", NULL };
 *     static struct library library = { .what = "cuBLASLt", .files = files, .symbols = symbols };
 *
 *     int rc = library_open(&library);
 *     if (rc == 0)
 *         lt.cublasLtCreate(&handle);
 */
#ifndef SEMPPL_CUDA_LIBRARY_H
#define SEMPPL_CUDA_LIBRARY_H

#ifdef __cplusplus
extern "C" {
#endif

#define LIBRARY_POINTER(name) __typeof__(name) *name;

struct library_symbol {
    const char *name;
    void *pointer; /* to the pointer to fill */
};

struct library {
    const char *what;                     /* its name in sentences */
    const char *const *files;             /* tried in this order, NULL behind the last */
    const struct library_symbol *symbols; /* a name of NULL behind the last */
    int tried;                            /* from here on library_open()'s */
    int rc;
    char why[400];
};

/*
 * 0: the table is filled. -ENOTSUP: the library is missing, or one of its calls; cuda_missing()
 * says so. Any thread may call; the library is opened once and stays open.
 */
int library_open(struct library *lib);

/* Why library_open() refused last, a sentence without an end; "" if it never did. */
const char *cuda_missing(void);

#ifdef __cplusplus
}
#endif

#endif
