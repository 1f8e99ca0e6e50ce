/*
 * shim.h - between the files of the shim.
 *
 * switch.cpp     stacks, and going from one to another
 * fibers.cpp     runs the grid of a kernel
 * symbols.cpp    names of kernels and their shared memory, from the symbol table
 * memory.cpp     allocations
 * stream.cpp     streams, events and graphs: when what is queued runs
 * device.cpp     errors, properties, launches
 *
 * SEMPPL_SHIM_SEED=n     all that is drawn: the order of threads, blocks and streams (1)
 * SEMPPL_SHIM_DEVICES=n  so many devices (1), which are alike; memory is of all of them
 * SEMPPL_SHIM_MEMORY=n   so many bytes of it (4 GiB)
 * SEMPPL_SHIM_STRICT=1   the host faults where it reads or writes memory of the device, and work
 *                        where it uses such memory that no pointer of its own leads to
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include "cuda_runtime.h"
#include <mutex>
#include <string>
#include <vector>

/* For what runs between CUDA threads: ThreadSanitizer does not see it. */
#ifdef __SANITIZE_THREAD__
#define UNSEEN __attribute__((no_sanitize("thread")))
#else
#define UNSEEN
#endif

/* Memory that AddressSanitizer reports whoever touches, and no more. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define SHIM_ASAN 1
#else
#define SHIM_ASAN 0
#define __asan_poison_memory_region(p, n) (void)(p), (void)(n)
#define __asan_unpoison_memory_region(p, n) (void)(p), (void)(n)
#endif

/* One call of the runtime at a time; what is queued runs under it too. */
extern std::recursive_mutex shim_lock;
#define LOCKED std::lock_guard<std::recursive_mutex> locked(shim_lock)

/* Ends the program with a message. */
[[noreturn]] __attribute__((format(printf, 1, 2))) void shim_die(const char *format, ...);

/* A number below n. */
unsigned shim_draw(unsigned n);

/* -- fibers.cpp ---- */

struct shim_grid {
    std::string kernel; /* and who launched it */
    dim3 grid, block;
    size_t shared;
    std::function<void()> thread;
};

constexpr unsigned SHIM_THREADS_MOST = 1024;
constexpr size_t SHIM_SHARED_MOST = 227 << 10, SHIM_SHARED_USUAL = 48 << 10;

/* Runs all blocks, on the calling thread. */
void shim_run(const shim_grid &grid);

/* -- symbols.cpp ---- */

/* The kernel at that address; *shared: bytes of shared memory that it declares. */
std::string shim_kernel(const void *kernel, size_t *shared);
/* Fills all shared memory that kernels declare. */
void shim_fill_shared(int byte);

/* -- memory.cpp ---- */

enum shim_kind { SHIM_HOST, SHIM_PINNED, SHIM_DEVICE };
enum { SHIM_NAN = 0xff, SHIM_GUARD = 0xc5 };

/* What p points into, and where that starts. Ends the program if n bytes are not all in it. */
shim_kind shim_where(const void *p, size_t n, const void **start);
/* The starts of the allocations to which pointers among these bytes point. */
std::vector<const void *> shim_pointed(const void *values, size_t bytes);
/* While one exists these allocations can be read and written, of the device too, and no others. */
struct shim_unlocked {
    const std::vector<const void *> &starts;
    explicit shim_unlocked(const std::vector<const void *> &starts);
    ~shim_unlocked();
};
/* End the program if one of these was freed; was written outside of its bounds, by name. */
void shim_alive(const std::vector<const void *> &starts, const std::string &name);
void shim_intact(const std::vector<const void *> &starts, const std::string &name);

/* -- stream.cpp ---- */

/* Work in the order of the stream: its name, the allocations that it uses, and what it does. */
cudaError_t shim_queue(cudaStream_t stream, const std::string &name,
                       const std::vector<const void *> &uses, const std::function<void()> &run);
/* The name of queued work that uses an allocation; "" if there is none. */
std::string shim_user(const void *start);
/* The device that a stream was made for. */
int shim_device_of(cudaStream_t stream);
/* An error if a stream is being captured, which then fails: for calls that may wait. */
cudaError_t shim_unsafe();

/* -- device.cpp ---- */

/* Remembers an error for cudaGetLastError(). */
cudaError_t shim_result(cudaError_t err);

#endif
