/*
 * failing.c - the program's own allocations, of which one fails: for LD_PRELOAD (memory.t).
 *
 * FAILING_AT=n      the n-th gets no memory, from 1; those of libraries always do
 * FAILING_COUNT=f   how many there were goes to the file f at the end
 */
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* glibc's own, behind the names that are taken here */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

static uintptr_t first, end; /* the program's code */
static long at;
static atomic_long calls;

static int find_program(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
            first = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            end = first + info->dlpi_phdr[i].p_memsz;
        }
    return 1; /* the first object is the program */
}

__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("FAILING_AT");
    at = text ? strtol(text, NULL, 10) : 0;
    dl_iterate_phdr(find_program, NULL);
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("FAILING_COUNT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (f) {
        fprintf(f, "%ld\n", (long)calls);
        fclose(f);
    }
}

static int fails(const void *caller)
{
    uintptr_t from = (uintptr_t)caller;
    if (from < first || from >= end || atomic_fetch_add(&calls, 1) + 1 != at)
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(align, n);
}

char *strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
    return copy ? memcpy(copy, s, n) : NULL;
}

int vasprintf(char **text, const char *fmt, va_list ap)
{
    char *copy = NULL;
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0 || fails(__builtin_return_address(0)) || !(copy = __libc_malloc((size_t)n + 1)))
        return -1;
    *text = copy;
    return vsnprintf(copy, (size_t)n + 1, fmt, ap);
}
