/*
 * memory.cpp - memory of the device and page-locked memory.
 *
 * An allocation is a mapping of its own between pages that cannot be touched. It ends within 256
 * bytes, the alignment of cudaMalloc(), of the last of its pages; what is left of the first and
 * last page is filled with a pattern that has to stay, and AddressSanitizer reports who touches it.
 * New memory holds NaN bytes. Freed memory is gone, so that touching it faults.
 */
#include "shim.h"
#include <map>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const size_t PAGE = (size_t)sysconf(_SC_PAGESIZE), ALIGN = 256;

struct block {
    size_t bytes;
    shim_kind kind;
    size_t pages; /* bytes of its pages */
    char *first;  /* of them */
};

static std::map<const char *, block> blocks; /* by their start */
static size_t used;                          /* of the device */

static bool strict()
{
    static const char *value = getenv("SEMPPL_SHIM_STRICT");
    return value && strcmp(value, "1") == 0;
}

static size_t all()
{
    static const char *value = getenv("SEMPPL_SHIM_MEMORY");
    return value ? (size_t)strtoull(value, NULL, 10) : (size_t)4 << 30;
}

static void allow(const block &b, int what)
{
    if (mprotect(b.first, b.pages, what) < 0)
        shim_die("memory cannot be protected");
}

static void allow_device(const std::vector<const void *> &starts, int what)
{
    for (const void *p : starts) {
        const block &b = blocks[(const char *)p];
        if (strict() && b.kind == SHIM_DEVICE)
            allow(b, what);
    }
}

shim_unlocked::shim_unlocked(const std::vector<const void *> &starts) : starts(starts)
{
    allow_device(starts, PROT_READ | PROT_WRITE);
}

shim_unlocked::~shim_unlocked()
{
    allow_device(starts, PROT_NONE);
}

static cudaError_t make(void **p, size_t bytes, shim_kind kind)
{
    LOCKED;
    *p = NULL;
    cudaError_t err = shim_unsafe();
    if (err != cudaSuccess)
        return err;
    if (bytes == 0)
        return cudaSuccess;
    if (kind == SHIM_DEVICE && (bytes > all() || used + bytes > all()))
        return shim_result(cudaErrorMemoryAllocation);
    block b = { bytes, kind, (bytes + PAGE - 1) / PAGE * PAGE, NULL };
    char *map =
        (char *)mmap(NULL, b.pages + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return shim_result(cudaErrorMemoryAllocation);
    b.first = map + PAGE;
    allow(b, PROT_READ | PROT_WRITE);
    char *start = b.first + b.pages - (bytes + ALIGN - 1) / ALIGN * ALIGN;
    memset(b.first, SHIM_GUARD, b.pages);
    memset(start, SHIM_NAN, bytes);
    __asan_poison_memory_region(b.first, b.pages);
    __asan_unpoison_memory_region(start, bytes);
    used += kind == SHIM_DEVICE ? bytes : 0;
    blocks[start] = b;
    if (strict() && kind == SHIM_DEVICE)
        allow(b, PROT_NONE);
    *p = start;
    return cudaSuccess;
}

/* The allocation that p is in. */
static auto find(const void *p)
{
    auto at = blocks.upper_bound((const char *)p);
    if (at == blocks.begin())
        return blocks.end();
    --at;
    return (const char *)p < at->first + at->second.bytes ? at : blocks.end();
}

static cudaError_t release(void *p, shim_kind kind, const char *call)
{
    LOCKED;
    cudaError_t err = shim_unsafe();
    if (err != cudaSuccess || !p)
        return err;
    auto at = blocks.find((const char *)p);
    if (at == blocks.end() || at->second.kind != kind)
        shim_die("%s: %p was not allocated so", call, p);
    std::string user = shim_user(p);
    if (!user.empty())
        shim_die("%s: %p is still used by %s", call, p, user.c_str());
    {
        const std::vector<const void *> starts = { p };
        shim_unlocked now(starts);
        shim_intact(starts, "something");
    }
    block b = at->second;
    __asan_unpoison_memory_region(b.first, b.pages);
    munmap(b.first - PAGE, b.pages + 2 * PAGE);
    used -= kind == SHIM_DEVICE ? b.bytes : 0;
    blocks.erase(at);
    return cudaSuccess;
}

shim_kind shim_where(const void *p, size_t n, const void **start)
{
    auto at = find(p);
    if (at == blocks.end())
        return SHIM_HOST;
    size_t offset = (size_t)((const char *)p - at->first);
    if (n > at->second.bytes - offset)
        shim_die("%zu bytes from byte %zu of an allocation of %zu bytes", n, offset,
                 at->second.bytes);
    *start = at->first;
    return at->second.kind;
}

std::vector<const void *> shim_pointed(const void *values, size_t bytes)
{
    std::vector<const void *> starts;
    for (size_t i = 0; i + sizeof(void *) <= bytes; i += sizeof(void *)) {
        const void *p;
        memcpy(&p, (const char *)values + i, sizeof p);
        auto at = find(p);
        if (at != blocks.end())
            starts.push_back(at->first);
    }
    return starts;
}

void shim_alive(const std::vector<const void *> &starts, const std::string &name)
{
    for (const void *p : starts)
        if (!blocks.count((const char *)p))
            shim_die("%s uses memory that was freed", name.c_str());
}

UNSEEN static void check(const char *from, const char *to, const char *start,
                         const std::string &name)
{
    for (const char *p = from; p < to && !SHIM_ASAN; p++)
        if ((unsigned char)*p != SHIM_GUARD)
            shim_die("%s wrote at byte %td of an allocation of %zu bytes", name.c_str(), p - start,
                     blocks[start].bytes);
}

void shim_intact(const std::vector<const void *> &starts, const std::string &name)
{
    for (const void *p : starts) {
        const char *start = (const char *)p;
        const block &b = blocks[start];
        check(b.first, start, start, name);
        check(start + b.bytes, b.first + b.pages, start, name);
    }
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    return make(p, bytes, SHIM_DEVICE);
}

cudaError_t cudaFree(void *p)
{
    return release(p, SHIM_DEVICE, "cudaFree");
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    return make(p, bytes, SHIM_PINNED);
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned)
{
    return make(p, bytes, SHIM_PINNED);
}

cudaError_t cudaFreeHost(void *p)
{
    return release(p, SHIM_PINNED, "cudaFreeHost");
}

cudaError_t cudaMemGetInfo(size_t *unused, size_t *whole)
{
    LOCKED;
    *whole = all();
    *unused = *whole - used;
    return cudaSuccess;
}
