/*
 * stream.cpp - streams, events and graphs.
 *
 * What is queued runs later: while a call waits for it, or by chance in any call that queues more.
 * Of all work whose predecessors are done, the next is drawn. So an event that nobody waits for and
 * host memory that changes too early are found, with some seed. Predecessors are those that the
 * CUDA programming guide names: the work before in the stream, events waited for, and for the
 * legacy default stream the blocking ones.
 *
 * Copies: page-locked memory is read and written when the copy runs; other host memory is read at
 * the call, and written before it returns.
 *
 * While a stream is captured its work becomes nodes of a graph, with its arguments as they are.
 * Copies from or to other than page-locked memory, of which a replay would be of what is there
 * then, if anything, are refused.
 */
#include "shim.h"
#include <algorithm>
#include <memory>
#include <set>
#include <thread>
#include <time.h>

std::recursive_mutex shim_lock;

typedef std::vector<const void *> addresses;
typedef std::function<void()> action;

struct work {
    std::string name;
    addresses uses;
    action run;
    int before; /* works that have to be done first */
    std::vector<std::shared_ptr<work>> after;
    bool done;
};
typedef std::shared_ptr<work> work_ptr;
typedef std::vector<work_ptr> works;

struct node {
    std::string name;
    addresses uses;
    action run;
    std::vector<int> before; /* nodes */
};
typedef std::vector<node> nodes;

struct capture {
    nodes made;
    shim_stream *origin;
    cudaStreamCaptureMode mode;
    std::thread::id by;
    bool invalid, ended;
};

struct shim_stream {
    int device;
    bool blocking;
    works last;                    /* all that the next work comes after */
    std::shared_ptr<capture> into; /* if it is captured */
    std::vector<int> tail;         /* last, as nodes */
};

struct shim_event {
    int device;
    bool timed;
    work_ptr at; /* NULL: never recorded */
    std::shared_ptr<double> seconds;
    std::shared_ptr<capture> in; /* recorded while captured */
    std::vector<int> tail;
};

struct shim_graph {
    nodes made;
};

struct shim_graph_exec {
    nodes made;
    work_ptr last; /* launch */
};

static shim_stream legacy = { 0, true, {}, {}, {} };
static std::set<shim_stream *> streams = { &legacy };
static std::set<work *> pending; /* all that is not done */
static works ready;              /* what may run now */

/* -- Running ---- */

static void run_one()
{
    size_t i = shim_draw((unsigned)ready.size());
    work_ptr w = ready[i];
    ready[i] = ready.back();
    ready.pop_back();
    shim_alive(w->uses, w->name);
    {
        shim_unlocked now(w->uses);
        if (w->run)
            w->run();
        shim_intact(w->uses, w->name);
    }
    w->done = true;
    pending.erase(w.get());
    for (const work_ptr &next : w->after)
        if (--next->before == 0)
            ready.push_back(next);
}

static void run_until(const works &all)
{
    for (const work_ptr &w : all)
        while (!w->done)
            run_one();
}

static void run_by_chance()
{
    static unsigned often = shim_draw(4); /* 0: never */
    while (!ready.empty() && shim_draw(4) < often)
        run_one();
}

static work_ptr add(const node &what, const works &before)
{
    work_ptr w(new work{ what.name, what.uses, what.run, 0, {}, false });
    for (const work_ptr &b : before)
        if (!b->done) {
            b->after.push_back(w);
            w->before++;
        }
    pending.insert(w.get());
    if (w->before == 0)
        ready.push_back(w);
    return w;
}

std::string shim_user(const void *start)
{
    for (const work *w : pending)
        if (std::find(w->uses.begin(), w->uses.end(), start) != w->uses.end())
            return w->name;
    return "";
}

/* -- Queueing ---- */

static shim_stream *stream_of(cudaStream_t s)
{
    shim_stream *stream = s ? s : &legacy;
    if (!streams.count(stream))
        shim_die("%p is no stream", (void *)s);
    return stream;
}

static int current_device()
{
    int index;
    cudaGetDevice(&index);
    return index;
}

int shim_device_of(cudaStream_t s)
{
    return stream_of(s)->device;
}

/* What the next work of a stream comes after. */
static works before(shim_stream *s)
{
    works all = s->last;
    for (shim_stream *other : streams)
        if (other != s && s->blocking && other->blocking && (s == &legacy || other == &legacy))
            all.insert(all.end(), other->last.begin(), other->last.end());
    return all;
}

static cudaError_t queue(shim_stream *s, const node &what)
{
    if (s->into) {
        if (s->into->invalid)
            return cudaErrorStreamCaptureInvalidated;
        s->into->made.push_back(what);
        s->into->made.back().before = s->tail;
        s->tail = { (int)s->into->made.size() - 1 };
        return cudaSuccess;
    }
    for (shim_stream *other : streams)
        if (s == &legacy && other->blocking && other->into) {
            other->into->invalid = true;
            return cudaErrorStreamCaptureImplicit;
        }
    s->last = { add(what, before(s)) };
    run_by_chance();
    return cudaSuccess;
}

cudaError_t shim_queue(cudaStream_t s, const std::string &name, const addresses &uses,
                       const action &run)
{
    return queue(stream_of(s), { name, uses, run, {} });
}

cudaError_t shim_unsafe()
{
    for (shim_stream *s : streams)
        if (s->into && s->into->mode != cudaStreamCaptureModeRelaxed &&
            (s->into->mode == cudaStreamCaptureModeGlobal ||
             s->into->by == std::this_thread::get_id())) {
            s->into->invalid = true;
            return shim_result(cudaErrorStreamCaptureUnsupported);
        }
    return cudaSuccess;
}

static cudaError_t not_captured(shim_stream *s)
{
    if (s->into) {
        s->into->invalid = true;
        return shim_result(cudaErrorStreamCaptureUnsupported);
    }
    return cudaSuccess;
}

/* -- Copies ---- */

static cudaError_t copy(void *to, const void *from, size_t n, cudaMemcpyKind kind, cudaStream_t s,
                        bool wait)
{
    LOCKED;
    shim_stream *stream = stream_of(s);
    if (n == 0)
        return cudaSuccess;
    addresses uses;
    const void *start;
    shim_kind target = shim_where(to, n, &start);
    if (target != SHIM_HOST)
        uses.push_back(start);
    shim_kind source = shim_where(from, n, &start);
    if (source != SHIM_HOST)
        uses.push_back(start);
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind != cudaMemcpyDefault &&
        (to_device != (target == SHIM_DEVICE) || from_device != (source == SHIM_DEVICE)))
        return shim_result(cudaErrorInvalidMemcpyDirection);
    if (source == SHIM_HOST || target == SHIM_HOST) {
        cudaError_t err = not_captured(stream);
        if (err != cudaSuccess)
            return err;
    }
    action run = [=] { memcpy(to, from, n); };
    if (source == SHIM_HOST) {
        std::string bytes((const char *)from, n);
        run = [=] { memcpy(to, bytes.data(), n); };
    }
    cudaError_t err = queue(stream, { "a copy", uses, run, {} });
    if (err == cudaSuccess && !stream->into &&
        (target == SHIM_HOST || (wait && source != SHIM_DEVICE) || (wait && target == SHIM_PINNED)))
        run_until(stream->last);
    return shim_result(err);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t n, cudaMemcpyKind kind)
{
    return copy(to, from, n, kind, NULL, true);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind kind,
                            cudaStream_t s)
{
    return copy(to, from, n, kind, s, false);
}

cudaError_t cudaMemsetAsync(void *p, int byte, size_t n, cudaStream_t s)
{
    LOCKED;
    const void *start;
    if (n == 0)
        return cudaSuccess;
    if (shim_where(p, n, &start) != SHIM_DEVICE)
        return shim_result(cudaErrorInvalidValue);
    return shim_result(shim_queue(s, "a memset", { start }, [=] { memset(p, byte, n); }));
}

cudaError_t cudaMemset(void *p, int byte, size_t n)
{
    return cudaMemsetAsync(p, byte, n, NULL);
}

/* -- Streams ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
    LOCKED;
    *s = new shim_stream{ current_device(), !(flags & cudaStreamNonBlocking), {}, {}, {} };
    streams.insert(*s);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *s)
{
    return cudaStreamCreateWithFlags(s, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    LOCKED;
    stream_of(s);
    if (!s)
        return shim_result(cudaErrorInvalidResourceHandle);
    streams.erase(s);
    delete s;
    return cudaSuccess;
}

/* Are they done? Whoever asks for long enough is told so. */
static cudaError_t query(const works &all)
{
    if (!ready.empty() && shim_draw(2))
        run_one();
    for (const work_ptr &w : all)
        if (!w->done)
            return shim_result(cudaErrorNotReady);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    LOCKED;
    cudaError_t err = not_captured(stream_of(s));
    if (err == cudaSuccess)
        run_until(before(stream_of(s)));
    return err;
}

cudaError_t cudaStreamQuery(cudaStream_t s)
{
    LOCKED;
    cudaError_t err = not_captured(stream_of(s));
    return err == cudaSuccess ? query(before(stream_of(s))) : err;
}

cudaError_t cudaDeviceSynchronize(void)
{
    LOCKED;
    cudaError_t err = shim_unsafe();
    while (err == cudaSuccess && !ready.empty())
        run_one();
    return err;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t e, unsigned)
{
    LOCKED;
    shim_stream *s = stream_of(handle);
    if (e->in && !e->in->ended && (!s->into || s->into == e->in)) {
        s->into = e->in; /* it joins the capture */
        for (int n : e->tail)
            if (std::find(s->tail.begin(), s->tail.end(), n) == s->tail.end())
                s->tail.push_back(n);
        return cudaSuccess;
    }
    if (s->into || e->in) {
        (s->into ? s->into : e->in)->invalid = true;
        return shim_result(cudaErrorStreamCaptureIsolation);
    }
    if (e->at)
        s->last.push_back(e->at);
    return cudaSuccess;
}

/* -- Events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags)
{
    *e = new shim_event{ current_device(), !(flags & cudaEventDisableTiming), {}, {}, {}, {} };
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *e)
{
    return cudaEventCreateWithFlags(e, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    LOCKED;
    if (!e)
        return shim_result(cudaErrorInvalidResourceHandle);
    delete e;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t handle)
{
    LOCKED;
    shim_stream *s = stream_of(handle);
    if (handle && e->device != s->device)
        return shim_result(cudaErrorInvalidResourceHandle);
    e->in = s->into;
    e->tail = s->tail;
    if (s->into)
        return cudaSuccess;
    std::shared_ptr<double> seconds(new double(0));
    cudaError_t err = queue(s, { "an event",
                                 {},
                                 [=] {
                                     struct timespec t;
                                     clock_gettime(CLOCK_MONOTONIC, &t);
                                     *seconds = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
                                 },
                                 {} });
    e->seconds = seconds;
    if (err == cudaSuccess)
        e->at = s->last[0];
    return shim_result(err);
}

static cudaError_t not_captured(cudaEvent_t e)
{
    if (e->in) {
        e->in->invalid = true;
        return shim_result(cudaErrorCapturedEvent);
    }
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    LOCKED;
    cudaError_t err = not_captured(e);
    if (err == cudaSuccess && e->at)
        run_until({ e->at });
    return err;
}

cudaError_t cudaEventQuery(cudaEvent_t e)
{
    LOCKED;
    cudaError_t err = not_captured(e);
    return err == cudaSuccess && e->at ? query({ e->at }) : err;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    LOCKED;
    if (!from->timed || !to->timed || !from->at || !to->at)
        return shim_result(cudaErrorInvalidResourceHandle);
    if (!from->at->done || !to->at->done)
        return shim_result(cudaErrorNotReady);
    *ms = (float)((*to->seconds - *from->seconds) * 1e3);
    return cudaSuccess;
}

/* -- Graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode)
{
    LOCKED;
    shim_stream *s = stream_of(handle);
    if (s == &legacy || s->into)
        return shim_result(cudaErrorStreamCaptureUnsupported);
    s->into.reset(new capture{ {}, s, mode, std::this_thread::get_id(), false, false });
    s->tail.clear();
    return cudaSuccess;
}

/* A node that no other comes after is one that the origin has not waited for, unless in its tail.
 */
static bool all_joined(const capture &c)
{
    std::vector<bool> last(c.made.size(), true);
    for (const node &n : c.made)
        for (int b : n.before)
            last[(size_t)b] = false;
    for (int n : c.origin->tail)
        last[(size_t)n] = false;
    return std::find(last.begin(), last.end(), true) == last.end();
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph)
{
    LOCKED;
    shim_stream *s = stream_of(handle);
    std::shared_ptr<capture> c = s->into;
    *graph = NULL;
    if (!c)
        return shim_result(cudaErrorInvalidValue);
    if (c->origin != s) {
        c->invalid = true;
        return shim_result(cudaErrorStreamCaptureUnmatched);
    }
    cudaError_t err = c->invalid       ? cudaErrorStreamCaptureInvalidated
                      : all_joined(*c) ? cudaSuccess
                                       : cudaErrorStreamCaptureUnjoined;
    for (shim_stream *other : streams)
        if (other->into == c) {
            other->into.reset();
            other->tail.clear();
        }
    c->ended = true;
    if (err == cudaSuccess)
        *graph = new shim_graph{ c->made };
    return shim_result(err);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus *status)
{
    LOCKED;
    shim_stream *s = stream_of(handle);
    *status = !s->into           ? cudaStreamCaptureStatusNone
              : s->into->invalid ? cudaStreamCaptureStatusInvalidated
                                 : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *, size_t *n)
{
    LOCKED;
    *n = graph->made.size();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    LOCKED;
    *exec = new shim_graph_exec{ graph->made, {} };
    return cudaSuccess;
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo *info)
{
    LOCKED;
    bool same = exec->made.size() == graph->made.size();
    for (size_t i = 0; same && i < graph->made.size(); i++)
        same = exec->made[i].before == graph->made[i].before &&
               exec->made[i].name == graph->made[i].name;
    info->result = !same;
    if (!same)
        return shim_result(cudaErrorGraphExecUpdateFailure);
    exec->made = graph->made;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle)
{
    LOCKED;
    shim_stream *s = stream_of(handle);
    if (s->into) /* a graph within a graph */
        return shim_result(cudaErrorStreamCaptureUnsupported);
    works first = before(s), all;
    if (exec->last)
        first.push_back(exec->last);
    for (const node &n : exec->made) {
        works those = first;
        for (int b : n.before)
            those.push_back(all[(size_t)b]);
        all.push_back(add(n, those));
    }
    all.insert(all.end(), first.begin(), first.end());
    exec->last = add({ "the end of a graph", {}, {}, {} }, all);
    s->last = { exec->last };
    run_by_chance();
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    LOCKED;
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    LOCKED;
    delete exec;
    return cudaSuccess;
}
