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
 * Under ThreadSanitizer each CUDA thread is one of its fibers, which only __syncthreads() and
 * __syncwarp() put in order: a missing one is a race with both lines. This file is not instrumented
 * itself.
 */
#include "shim.h"
#include "switch.h"
#include <numeric>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define TSAN(...) __VA_ARGS__
enum { RACES = 1 };
#else
#define TSAN(...)
enum { RACES = 0 };
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

constexpr int MOST = SHIM_THREADS_MOST, LANES = 32, GUARD = 1024;

enum state { RUNNABLE, AT_BARRIER, AT_WARP, ENDED };

struct thread {
    uint3 index;
    enum state state;
    fiber *on;            /* NULL: not started */
    const shim_place *at; /* where it waits */
    bool condition;       /* barriers */
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

/* Threads that wait for different things. */
UNSEEN [[noreturn]] static void stuck(const thread &a, const thread &b, const char *why)
{
    char text[2][300];
    for (int i = 0; i < 2; i++) {
        const thread &t = i == 0 ? a : b;
        snprintf(text[i], sizeof text[i], "thread (%u,%u,%u) waits in %s at %s:%d, %s", t.index.x,
                 t.index.y, t.index.z, t.at->function, t.at->file, t.at->line,
                 t.state == AT_BARRIER ? "a barrier" : "a warp operation");
    }
    shim_die("%s: block (%u,%u,%u) of %s: %s; %s", why, blockIdx.x, blockIdx.y, blockIdx.z,
             grid->kernel.c_str(), text[0], text[1]);
}

UNSEEN static bool same_place(const thread &a, const thread &b)
{
    return a.state == b.state && a.at->line == b.at->line && strcmp(a.at->file, b.at->file) == 0;
}

UNSEEN static void open_barrier()
{
    static int list[MOST];
    int n = 0;
    conditions = 0;
    for (int i = 0; i < nthreads; i++)
        if (threads[i].state == AT_BARRIER) {
            if (n > 0 && !same_place(threads[i], threads[list[0]]))
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
        if (other.op != threads[t].op || !same_place(other, threads[t]))
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
    if (threads[t].op == SHIM_SYNC) /* shuffles and votes order no memory */
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
        if (!b && (!same_place(t, *a) || t.mask != a->mask))
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

UNSEEN static void run_threads();

/* Gives thread t a stack: with ThreadSanitizer, to which reuse is a race, always the same. */
UNSEEN static void give_stack(int t)
{
    static fiber all[MOST];
    static int nall;
    bool made = RACES ? all[t].sp != NULL : nspare > 0;
    fiber *f = RACES ? &all[t] : made ? spare[--nspare] : &all[nall++];
    if (!made)
        fiber_new(f, run_threads);
    threads[t].on = f;
}

/* What a stack does: threads that start, one after another; then it is spare. */
UNSEEN static void run_threads()
{
    fiber_entered();
    for (;;) {
        fiber *self = threads[current].on;
        run_thread(current);
        pick();
        bool starts = current >= 0 && !threads[current].on;
        if (starts && !RACES) {
            threads[current].on = self;
            continue;
        }
        if (!RACES)
            spare[nspare++] = self;
        if (starts)
            give_stack(current);
        fiber_switch(self, current >= 0 ? threads[current].on : &scheduler);
    }
}

/* Lets others go on until this thread may. */
UNSEEN static void wait(int me)
{
    pick();
    if (current != me) {
        if (!threads[current].on)
            give_stack(current);
        fiber_switch(threads[me].on, threads[current].on);
        TSAN(__tsan_switch_to_fiber(threads[me].seen, __tsan_switch_to_fiber_no_sync);)
    }
    threadIdx = threads[me].index;
}

UNSEEN int shim_barrier(bool condition, const shim_place &at)
{
    thread &t = threads[current];
    t.state = AT_BARRIER;
    t.at = &at;
    t.mask = 0;
    t.condition = condition;
    if (++at_barrier == alive)
        open_barrier();
    wait(current);
    return conditions;
}

UNSEEN uint64_t shim_warp(shim_warp_op op, unsigned mask, uint64_t value, int from,
                          const shim_place &at)
{
    thread &t = threads[current];
    t.state = AT_WARP;
    t.at = &at;
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

/* -- Grids ---- */

/* Shared memory whose size is known at the launch, and a guard that has to stay as it is. */
alignas(128) static unsigned char dynamic_shared[SHIM_SHARED_MOST + GUARD];
unsigned char *shim_dynamic_shared = dynamic_shared;

static void check_guard(size_t shared)
{
    for (size_t i = shared; i < shared + GUARD && !SHIM_ASAN; i++)
        if (dynamic_shared[i] != SHIM_GUARD)
            shim_die("block (%u,%u,%u) of %s wrote at byte %zu of %zu bytes of shared memory",
                     blockIdx.x, blockIdx.y, blockIdx.z, grid->kernel.c_str(), i, shared);
}

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
    give_stack(current);
    fiber_switch(&scheduler, threads[current].on);
    TSAN(__tsan_acquire(&finished);)
}

/* Every block once, in an order that is no other's: steps that are coprime to their number. */
static void run_blocks()
{
    uint64_t n = (uint64_t)grid->grid.x * grid->grid.y * grid->grid.z;
    unsigned below = (unsigned)(n < 0xffffffff ? n : 0xffffffff);
    uint64_t step = 1 + shim_draw(below), at = shim_draw(below);
    while (std::gcd(step, n) != 1)
        step++;
    for (uint64_t i = 0; i < n; i++, at = (at + step) % n) {
        blockIdx.x = (unsigned)(at % grid->grid.x);
        blockIdx.y = (unsigned)(at / grid->grid.x % grid->grid.y);
        blockIdx.z = (unsigned)(at / grid->grid.x / grid->grid.y);
        memset(dynamic_shared, SHIM_NAN, grid->shared);
        shim_fill_shared(SHIM_NAN);
        run_block();
        check_guard(grid->shared);
    }
}

void shim_run(const shim_grid &g)
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
                TSAN(t.seen = t.seen ? t.seen : __tsan_create_fiber(0);)
            }
    memset(dynamic_shared + g.shared, SHIM_GUARD, GUARD);
    __asan_poison_memory_region(dynamic_shared + g.shared, sizeof dynamic_shared - g.shared);
    run_blocks();
    __asan_unpoison_memory_region(dynamic_shared, sizeof dynamic_shared);
}
