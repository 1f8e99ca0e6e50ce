/*
 * fibers.cpp - runs a grid: blocks one after another, the threads of a block as fibers.
 *
 * A thread starts on the stack of the one that ended before it; only where a thread waits does the
 * next start on a stack of its own. So a kernel without barriers is a loop over threads. Which of
 * the threads that can go on does so is drawn.
 *
 * A block barrier opens once all threads that have not ended wait at it, a warp operation once all
 * lanes of its mask that have not ended wait with the same mask.
 *
 * Under ThreadSanitizer each CUDA thread is one of its fibers, which only barriers and warp
 * operations put in order: a missing barrier is a race with both lines. This file is not
 * instrumented itself.
 */
#include "shim.h"
#include "switch.h"
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define TSAN(...) __VA_ARGS__
#else
#define TSAN(...)
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
unsigned char *shim_dynamic_shared;

enum { MOST = 1024, LANES = 32 };

enum state { RUNNABLE, AT_BARRIER, AT_WARP, ENDED };

struct thread {
    uint3 index;
    enum state state;
    fiber *on; /* NULL: not started */
    const char *file;
    int line;
    bool condition; /* barriers */
    enum shim_warp_op op;
    unsigned mask;
    int from;
    uint64_t value;
    uint64_t result;
    TSAN(void *seen;)
};

static const shim_grid *grid;
static thread threads[MOST];
static int nthreads, alive, current;
static int runnable[MOST], nrunnable;
static int at_barrier, conditions; /* conditions: true ones at the barrier that opened last */
static unsigned in_warp[MOST / LANES], ended[MOST / LANES];
static fiber scheduler, *spare[MOST];
static int nspare;
static char at_block, at_warp[MOST / LANES]; /* their addresses stand for barriers */
TSAN(static char started, finished; static void *host;)

void shim_die(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fflush(stdout);
    fputs("shim: ", stderr);
    vfprintf(stderr, format, ap);
    fputs("\n", stderr);
    va_end(ap);
    abort();
}

UNSEEN unsigned shim_draw(unsigned n)
{
    static uint64_t s;
    static bool seeded;
    if (!seeded) {
        const char *seed = getenv("SEMPPL_SHIM_SEED");
        s = (seed ? strtoull(seed, NULL, 10) : 1) * 0x9e3779b97f4a7c15u + 1;
        seeded = true;
    }
    s ^= s << 13; /* Marsaglia, Xorshift RNGs, 2003 */
    s ^= s >> 7;
    s ^= s << 17;
    return (unsigned)(((s >> 32) * n) >> 32);
}

UNSEEN static void make_runnable(int t)
{
    threads[t].state = RUNNABLE;
    runnable[nrunnable++] = t;
}

/* Whatever the first n threads of the list did comes before what they will do. */
UNSEEN static void put_in_order(const int *list, int n, char *by)
{
    TSAN(void *me = __tsan_get_current_fiber();
         for (int pass = 0; pass < 2; pass++) for (int i = 0; i < n; i++) {
             __tsan_switch_to_fiber(threads[list[i]].seen, __tsan_switch_to_fiber_no_sync);
             pass == 0 ? __tsan_release(by) : __tsan_acquire(by);
         } __tsan_switch_to_fiber(me, __tsan_switch_to_fiber_no_sync);)
    (void)list, (void)n, (void)by;
}

UNSEEN static void describe(const thread &t, char *text, size_t room)
{
    snprintf(text, room, "thread (%u,%u,%u) at %s:%d%s", t.index.x, t.index.y, t.index.z, t.file,
             t.line, t.state == AT_BARRIER ? ", a barrier" : ", a warp operation");
}

/* Threads that wait for different things. */
UNSEEN [[noreturn]] static void stuck(const thread &a, const thread &b, const char *why)
{
    char one[200], other[200];
    describe(a, one, sizeof one);
    describe(b, other, sizeof other);
    shim_die("%s: block (%u,%u,%u) of the kernel that %s launched at %s:%d: %s; %s", why,
             blockIdx.x, blockIdx.y, blockIdx.z, grid->function, grid->file, grid->line, one,
             other);
}

UNSEEN static void open_barrier()
{
    static int list[MOST];
    int n = 0;
    conditions = 0;
    for (int i = 0; i < nthreads; i++)
        if (threads[i].state == AT_BARRIER) {
            if (n > 0 && (threads[i].line != threads[list[0]].line ||
                          strcmp(threads[i].file, threads[list[0]].file) != 0))
                stuck(threads[list[0]], threads[i], "threads wait at different barriers");
            conditions += threads[i].condition;
            list[n++] = i;
        }
    put_in_order(list, n, &at_block);
    for (int i = 0; i < n; i++)
        make_runnable(list[i]);
    at_barrier = 0;
}

/* Opens the operation at which thread t waits, if all whom it waits for are there. */
UNSEEN static void open_warp(int t)
{
    int warp = t / LANES, list[LANES], n = 0;
    unsigned mask = threads[t].mask, ballot = 0;
    if ((mask & ~in_warp[warp] & ~ended[warp]) != 0)
        return;
    for (int lane = 0; lane < LANES; lane++) {
        thread &other = threads[warp * LANES + lane];
        if (!(mask & in_warp[warp] & 1u << lane))
            continue;
        if (other.mask != mask)
            return; /* it waits for another group first */
        if (other.op != threads[t].op || other.line != threads[t].line)
            stuck(threads[t], other, "lanes wait at different warp operations");
        ballot |= (unsigned)(other.value != 0) << lane;
        list[n++] = warp * LANES + lane;
    }
    unsigned here = mask & in_warp[warp];
    for (int i = 0; i < n; i++) {
        thread &to = threads[list[i]];
        to.result = ~(uint64_t)0;
        if (to.op == SHIM_BALLOT)
            to.result = ballot;
        else if (to.from >= 0 && to.from < LANES && (here & 1u << to.from))
            to.result = threads[warp * LANES + to.from].value;
    }
    put_in_order(list, n, &at_warp[warp]);
    in_warp[warp] &= ~here;
    for (int i = 0; i < n; i++)
        make_runnable(list[i]);
}

/* Nobody can go on: the first waiting thread, and one that waits for something else. */
UNSEEN [[noreturn]] static void deadlock()
{
    const thread *a = NULL, *b = NULL;
    for (int i = 0; i < nthreads; i++) {
        const thread &t = threads[i];
        if (t.state == ENDED)
            continue;
        a = a ? a : &t;
        if (!b && (t.state != a->state || t.line != a->line || t.mask != a->mask))
            b = &t;
    }
    stuck(*a, b ? *b : *a, "threads wait for each other");
}

/* Draws the thread that goes on; current is -1 when all have ended. */
UNSEEN static void pick()
{
    if (nrunnable == 0 && alive > 0)
        deadlock();
    current = -1;
    if (nrunnable > 0) {
        int i = (int)shim_draw((unsigned)nrunnable);
        current = runnable[i];
        runnable[i] = runnable[--nrunnable];
    }
}

UNSEEN static void run_thread(int me)
{
    threadIdx = threads[me].index;
    TSAN(__tsan_switch_to_fiber(threads[me].seen, __tsan_switch_to_fiber_no_sync);
         __tsan_acquire(&started);)
    grid->thread();
    TSAN(__tsan_release(&finished); __tsan_switch_to_fiber(host, __tsan_switch_to_fiber_no_sync);)
    threads[me].state = ENDED;
    alive--;
    ended[me / LANES] |= 1u << me % LANES;
    if (at_barrier > 0 && at_barrier == alive)
        open_barrier();
    for (int lane = 0; lane < LANES; lane++)
        if (in_warp[me / LANES] & 1u << lane)
            open_warp(me - me % LANES + lane);
}

/* What a stack does: threads that start, one after another; then it is spare. */
UNSEEN static void run_threads()
{
    fiber_entered();
    for (;;) {
        fiber *self = threads[current].on;
        run_thread(current);
        pick();
        if (current >= 0 && !threads[current].on) {
            threads[current].on = self;
            continue;
        }
        spare[nspare++] = self;
        fiber_switch(self, current >= 0 ? threads[current].on : &scheduler);
    }
}

UNSEEN static void start_on_spare(int t)
{
    static fiber all[MOST];
    static int nall;
    if (nspare == 0) {
        fiber_new(&all[nall], run_threads);
        spare[nspare++] = &all[nall++];
    }
    threads[t].on = spare[--nspare];
}

/* Lets others go on until this thread may. */
UNSEEN static void wait(int me)
{
    pick();
    if (current != me) {
        if (!threads[current].on)
            start_on_spare(current);
        fiber_switch(threads[me].on, threads[current].on);
        TSAN(__tsan_switch_to_fiber(threads[me].seen, __tsan_switch_to_fiber_no_sync);)
    }
    threadIdx = threads[me].index;
}

UNSEEN int shim_barrier(bool condition, const char *file, int line)
{
    thread &t = threads[current];
    t.state = AT_BARRIER;
    t.file = file;
    t.line = line;
    t.mask = 0;
    t.condition = condition;
    if (++at_barrier == alive)
        open_barrier();
    wait(current);
    return conditions;
}

UNSEEN uint64_t shim_warp(shim_warp_op op, unsigned mask, uint64_t value, int from,
                          const char *file, int line)
{
    thread &t = threads[current];
    t.state = AT_WARP;
    t.file = file;
    t.line = line;
    t.op = op;
    t.mask = mask;
    t.value = value;
    t.from = from;
    if (!(mask >> current % LANES & 1))
        stuck(t, t, "a lane is not in its own mask");
    in_warp[current / LANES] |= 1u << current % LANES;
    open_warp(current);
    wait(current);
    return t.result;
}

UNSEEN int shim_lane()
{
    return current % LANES;
}

UNSEEN unsigned __activemask()
{
    return ~ended[current / LANES];
}

/* -- Shared memory ---- */

/* The block's own, of a size known at the launch, and a guard that has to stay as it is. */
enum { SHARED_MOST = 227 << 10, GUARD = 1024, GUARD_BYTE = 0xc5 };
alignas(128) static unsigned char dynamic_shared[SHARED_MOST + GUARD];

/* The thread-local variables of this plugin on this thread: one of its own tells which they are. */
static thread_local char volatile mark = 1;

static int find_static(struct dl_phdr_info *info, size_t, void *into)
{
    char *data = (char *)info->dlpi_tls_data;
    for (int i = 0; data && i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS && &mark >= data &&
            &mark < data + info->dlpi_phdr[i].p_memsz) {
            ((void **)into)[0] = data;
            ((void **)into)[1] = data + info->dlpi_phdr[i].p_memsz;
            return 1;
        }
    return 0;
}

static void check_guard(size_t shared)
{
    for (size_t i = shared; i < shared + GUARD; i++)
        if (dynamic_shared[i] != GUARD_BYTE)
            shim_die("a kernel that %s launched at %s:%d wrote %zu bytes after its %zu bytes of "
                     "shared memory",
                     grid->function, grid->file, grid->line, i - shared, shared);
}

/* -- Grids ---- */

UNSEEN static void run_block()
{
    nrunnable = at_barrier = 0;
    alive = nthreads;
    for (int w = 0; w * LANES < nthreads; w++) {
        int lanes = nthreads - w * LANES;
        ended[w] = lanes < LANES ? ~0u << lanes : 0;
        in_warp[w] = 0;
    }
    for (int i = 0; i < nthreads; i++) {
        threads[i].on = NULL;
        make_runnable(i);
    }
    TSAN(__tsan_release(&started);)
    pick();
    start_on_spare(current);
    fiber_switch(&scheduler, threads[current].on);
    TSAN(__tsan_acquire(&finished);)
}

UNSEEN void shim_run(const shim_grid &g)
{
    grid = &g;
    gridDim = g.grid;
    blockDim = g.block;
    nthreads = 0;
    TSAN(host = __tsan_get_current_fiber();)
    for (unsigned z = 0; z < g.block.z; z++)
        for (unsigned y = 0; y < g.block.y; y++)
            for (unsigned x = 0; x < g.block.x; x++) {
                thread &t = threads[nthreads++];
                t.index = { x, y, z };
                TSAN(if (!t.seen) t.seen = __tsan_create_fiber(0);)
            }
    void *fixed[2] = { NULL, NULL };
    mark = 1;
    dl_iterate_phdr(find_static, fixed);
    memset(dynamic_shared + g.shared, GUARD_BYTE, GUARD);
    shim_dynamic_shared = dynamic_shared;
    for (unsigned z = 0; z < g.grid.z; z++)
        for (unsigned y = 0; y < g.grid.y; y++)
            for (unsigned x = 0; x < g.grid.x; x++) {
                blockIdx = { x, y, z };
                memset(dynamic_shared, 0xff, g.shared);
                memset(fixed[0], 0xff, (size_t)((char *)fixed[1] - (char *)fixed[0]));
                run_block();
                check_guard(g.shared);
            }
}
