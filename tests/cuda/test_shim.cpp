/*
 * test_shim.cpp - the device made of fibers: what kernels, streams and graphs do on it, and that
 * mistakes of kernels and of their callers come out. Those that end the program are made by this
 * program started once more, with the mistake's name.
 */
#include "kernels/cuda/launch.cuh"
#include "tests/t.h"
#include <string>
#include <sys/wait.h>
#include <vector>

extern "C" int cuda_error(cudaError_t err)
{
    return err == cudaSuccess ? 0 : -EIO;
}

#if defined(__SANITIZE_ADDRESS__)
enum { ADDRESSES = 1, RACES = 0 };
#elif defined(__SANITIZE_THREAD__)
enum { ADDRESSES = 0, RACES = 1 };
#else
enum { ADDRESSES = 0, RACES = 0 };
#endif

enum { TIMES = 60 }; /* so often is drawn before what may happen has to have happened */

template <typename T> struct array {
    T *on;
    explicit array(size_t n, T value = T()) : on(NULL), many(n)
    {
        cudaMalloc(&on, n * sizeof(T));
        put(std::vector<T>(n, value));
    }
    ~array()
    {
        cudaDeviceSynchronize();
        cudaFree(on);
    }
    void put(const std::vector<T> &from)
    {
        cudaMemcpy(on, from.data(), many * sizeof(T), cudaMemcpyHostToDevice);
    }
    std::vector<T> get() const
    {
        std::vector<T> to(many);
        cudaDeviceSynchronize();
        cudaMemcpy(to.data(), on, many * sizeof(T), cudaMemcpyDeviceToHost);
        return to;
    }
    size_t many;
};

/* -- Kernels ---- */

template <bool BARRIER> __global__ void block_sum(float *out, const float *in, int n)
{
    __shared__ float part[32];
    float sum = 0;
    for (int i = (int)threadIdx.x; i < n; i += (int)blockDim.x)
        sum += in[(int)blockIdx.x * n + i];
    for (int by = 16; by > 0; by /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, by);
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = sum;
    if (BARRIER)
        __syncthreads();
    if (threadIdx.x == 0) {
        for (unsigned w = 1; w < blockDim.x / 32; w++)
            sum += part[w];
        out[blockIdx.x] = sum;
    }
}

template <bool BARRIER> __global__ void next_lane(int *out)
{
    __shared__ int lanes[32];
    lanes[threadIdx.x] = (int)threadIdx.x;
    if (BARRIER)
        __syncwarp();
    out[threadIdx.x] = lanes[(threadIdx.x + 1) % 32];
}

__global__ void shuffles(int *out, double *wide)
{
    int lane = (int)threadIdx.x;
    out[lane] = __shfl_sync(0xffffffffu, lane, 35, 8);
    out[32 + lane] = __shfl_up_sync(0xffffffffu, lane, 3, 16);
    out[64 + lane] = __shfl_down_sync(0xffffffffu, lane, 3, 16);
    out[96 + lane] = __shfl_xor_sync(0xffffffffu, lane, 5);
    wide[lane] = __shfl_sync(0xffffffffu, lane / 7.0, (lane + 1) % 32);
}

__global__ void votes(unsigned *out)
{
    unsigned lanes = threadIdx.x < 32 ? 0xffffffffu : 0xffu;
    out[threadIdx.x] = __ballot_sync(lanes, threadIdx.x % 3 == 0);
    out[40 + threadIdx.x] =
        (unsigned)(__any_sync(lanes, threadIdx.x == 33) * 2 + __all_sync(lanes, threadIdx.x < 32));
    out[80 + threadIdx.x] =
        (unsigned)(__syncthreads_count(threadIdx.x > 9) * 4 +
                   __syncthreads_or(threadIdx.x == 7) * 2 + __syncthreads_and(threadIdx.x != 7));
}

/* The lanes of a pair go their own ways. */
__global__ void pairs(int *out)
{
    unsigned mask = 3u << (threadIdx.x & 30);
    int v = (int)threadIdx.x;
    for (unsigned i = 0; i < threadIdx.x / 2; i++)
        v = __shfl_xor_sync(mask, v, 1);
    out[threadIdx.x] = v;
}

__global__ void leave_early(int *out, int n)
{
    DYNAMIC_SHARED(int, numbers);
    int t = (int)threadIdx.x;
    if (t >= n)
        return;
    numbers[t] = t;
    __syncthreads();
    out[t] = numbers[n - 1 - t];
    __syncthreads();
    numbers[t] = out[t] * 2;
    __syncthreads();
    out[t] += numbers[(t + 1) % n];
}

__global__ void indices(unsigned *out)
{
    unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    atomicAdd(&out[block * blockDim.x * blockDim.y * blockDim.z + thread], block + 1);
    atomicMax(&out[0], 1000u);
}

__global__ void add(int *x, int n, int what)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        x[i] += what;
}

__global__ void accumulate(int *sum, const int *x)
{
    *sum = *sum * 10 + *x;
}

__global__ void unwritten(float *out, bool write)
{
    __shared__ float one[4];
    DYNAMIC_SHARED(float, other);
    if (write) /* or the compiler knows that nobody does */
        one[3] = other[3] = 0;
    out[0] = one[3];
    out[1] = other[3];
}

/* -- Kernels that are wrong ---- */

__global__ void two_barriers(int *x)
{
    if (threadIdx.x < 5)
        __syncthreads();
    else
        __syncthreads();
    *x = 1;
}

__global__ void half_a_warp(int *x)
{
    if (threadIdx.x < 16)
        __syncwarp();
    else
        __syncthreads();
    *x = 1;
}

__global__ void beyond(float *x, int n, int shared)
{
    DYNAMIC_SHARED(float, s);
    (shared ? s : x)[n] = 1;
}

__global__ void elsewhere(float *x, ptrdiff_t distance)
{
    x[distance] = 1;
}

/* -- What is right comes out right ---- */

static void kernels()
{
    enum { BLOCKS = 7, N = 1000 };
    std::vector<float> numbers(BLOCKS * N);
    for (size_t i = 0; i < numbers.size(); i++)
        numbers[i] = (float)(i % 13);
    array<float> in(numbers.size()), sums(BLOCKS);
    in.put(numbers);
    ok(launch(NULL, block_sum<true>, BLOCKS, 256, 0, sums.on, in.on, N) == 0, "a kernel starts");
    bool same = true;
    for (int b = 0; b < BLOCKS; b++) {
        float want = 0;
        for (int i = 0; i < N; i++)
            want += numbers[(size_t)(b * N + i)];
        same = same && sums.get()[(size_t)b] == want;
    }
    ok(same, "sums of blocks, by shuffles, shared memory and a barrier");

    array<int> lanes(128);
    array<double> wide(32);
    launch(NULL, shuffles, 1, 32, 0, lanes.on, wide.on);
    std::vector<int> got = lanes.get();
    same = true;
    for (int i = 0; i < 32; i++) {
        size_t l = (size_t)i;
        same = same && got[l] == i / 8 * 8 + 3 && got[32 + l] == (i % 16 < 3 ? i : i - 3) &&
               got[64 + l] == (i % 16 > 12 ? i : i + 3) && got[96 + l] == (i ^ 5) &&
               wide.get()[l] == (i + 1) % 32 / 7.0;
    }
    ok(same, "shuffles");
    launch(NULL, pairs, 1, 32, 0, lanes.on);
    same = true;
    for (int i = 0; i < 32; i++)
        same = same && lanes.get()[(size_t)i] == (i ^ (i / 2 & 1));
    ok(same, "groups of lanes that shuffle apart");
    launch(NULL, next_lane<true>, 1, 32, 0, lanes.on);
    ok(lanes.get()[4] == 5 && lanes.get()[31] == 0, "lanes that share memory");

    array<unsigned> voted(120);
    launch(NULL, votes, 1, 40, 0, voted.on);
    std::vector<unsigned> v = voted.get();
    ok(v[0] == 0x49249249u && v[39] == 0x92u, "ballots, of a whole warp and of 8 lanes");
    ok(v[40] == 1 && v[79] == 2, "any and all");
    ok(v[80] == 30 * 4 + 2 && v[119] == 30 * 4 + 2, "barriers that count");

    array<int> few(64, -1);
    launch(NULL, leave_early, 1, 64, 50 * sizeof(int), few.on, 50);
    got = few.get();
    ok(got[0] == 49 + 2 * 48 && got[49] == 0 + 2 * 49 && got[50] == -1,
       "barriers that some threads have left before");

    array<unsigned> counts(24 * 30, 0);
    launch(NULL, indices, dim3(2, 3, 4), dim3(5, 3, 2), 0, counts.on);
    v = counts.get();
    same = v[0] == 1000 || v[0] == 1001;
    for (unsigned i = 1; i < 24 * 30; i++)
        same = same && v[i] == i / 30 + 1;
    ok(same, "blocks and threads in three dimensions");
}

static void limits()
{
    array<int> x(1);
    ok(launch(NULL, add, 1, 1025, 0, x.on, 1, 1) < 0, "a block of 1025 threads is refused");
    ok(launch(NULL, add, 0, 32, 0, x.on, 1, 1) < 0, "a grid of none too");
    ok(launch(NULL, add, 1, 32, 48 << 10, x.on, 1, 1) == 0 &&
           launch(NULL, add, 1, 32, (48 << 10) + 1, x.on, 1, 1) < 0,
       "48 KB of shared memory, and no more");
    ok(cudaFuncSetAttribute(add, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 << 10) ==
               cudaSuccess &&
           launch(NULL, add, 1, 32, 227 << 10, x.on, 1, 1) == 0,
       "227 KB for who asks");
    ok(cudaFuncSetAttribute(block_sum<true>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                            227 << 10) != cudaSuccess,
       "less for a kernel with variables of its own");
    void *p;
    ok(cudaMalloc(&p, (size_t)1 << 40) == cudaErrorMemoryAllocation &&
           cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess,
       "an error is remembered once");
}

/* What streams do while an event orders them, or does not: how often the result is wrong. */
static int order_streams(bool wait)
{
    int wrong = 0;
    cudaStream_t a, b;
    cudaEvent_t done;
    cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&done, cudaEventDisableTiming);
    for (int i = 0; i < TIMES; i++) {
        array<int> x(100, 0), sum(1, 0);
        cudaDeviceSynchronize();
        launch(a, add, 4, 32, 0, x.on, 100, 1);
        launch(a, add, 4, 32, 0, x.on, 100, 2);
        cudaEventRecord(done, a);
        if (wait)
            cudaStreamWaitEvent(b, done);
        launch(b, accumulate, 1, 1, 0, sum.on, x.on);
        cudaStreamSynchronize(b);
        wrong += sum.get()[0] != 3;
    }
    cudaEventDestroy(done);
    cudaStreamDestroy(a);
    cudaStreamDestroy(b);
    return wrong;
}

/* How often the device sees what the host wrote after it queued the copy. */
static int change_early(bool pinned)
{
    int late = 0;
    int value[1], *host = value;
    cudaStream_t s;
    cudaStreamCreate(&s);
    if (pinned)
        cudaMallocHost((void **)&host, sizeof *host);
    for (int i = 0; i < TIMES; i++) {
        array<int> x(1, 0);
        *host = 5;
        cudaMemcpyAsync(x.on, host, sizeof *host, cudaMemcpyHostToDevice, s);
        *host = 6;
        late += x.get()[0] == 6;
    }
    if (pinned)
        cudaFreeHost(host);
    cudaStreamDestroy(s);
    return late;
}

static int read_early()
{
    int early = 0, *host;
    cudaStream_t s;
    cudaStreamCreate(&s);
    cudaMallocHost((void **)&host, sizeof *host);
    for (int i = 0; i < TIMES; i++) {
        array<int> x(1, 7);
        *host = 0;
        cudaMemcpyAsync(host, x.on, sizeof *host, cudaMemcpyDeviceToHost, s);
        early += *host == 0;
        cudaStreamSynchronize(s);
        early += *host != 7 ? 1000 : 0;
    }
    cudaFreeHost(host);
    cudaStreamDestroy(s);
    return early;
}

static void streams()
{
    ok(order_streams(true) == 0, "a stream that waits for an event");
    ok(order_streams(false) > 0, "one that does not is found");
    ok(change_early(false) == 0, "usual memory may change once its copy is queued");
    ok(change_early(true) > 0, "page-locked memory that changes too early is found");
    int early = read_early();
    ok(early > 0 && early <= TIMES, "and such that is read too early");

    cudaEvent_t e;
    cudaStream_t s;
    array<int> x(1, 0);
    cudaStreamCreate(&s);
    cudaEventCreate(&e);
    ok(cudaEventQuery(e) == cudaSuccess, "an event that was never recorded is done");
    launch(s, add, 1, 1, 0, x.on, 1, 1);
    cudaEventRecord(e, s);
    cudaError_t err;
    while ((err = cudaEventQuery(e)) == cudaErrorNotReady)
        ;
    ok(err == cudaSuccess && cudaStreamQuery(s) == cudaSuccess, "asking again and again ends");
    cudaGetLastError();
    cudaEventDestroy(e);
    cudaStreamDestroy(s);
}

/* x += what on s and y += 10 * what on side; then both are appended to the digits of sum. */
static cudaError_t record(cudaGraph_t *graph, cudaStream_t s, cudaStream_t side, bool join, int *x,
                          int *y, int *sum, int what)
{
    cudaEvent_t fork, joined;
    cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
    cudaEventCreateWithFlags(&joined, cudaEventDisableTiming);
    cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal);
    cudaEventRecord(fork, s);
    cudaStreamWaitEvent(side, fork);
    launch(side, add, 1, 1, 0, y, 1, what * 10);
    launch(s, add, 1, 1, 0, x, 1, what);
    what = 0; /* after its value was taken */
    cudaEventRecord(joined, side);
    if (join)
        cudaStreamWaitEvent(s, joined);
    launch(s, accumulate, 1, 1, 0, sum, x);
    launch(s, accumulate, 1, 1, 0, sum, y);
    cudaError_t err = cudaStreamEndCapture(s, graph);
    cudaEventDestroy(fork);
    cudaEventDestroy(joined);
    return err;
}

static void graphs()
{
    cudaStream_t s, side;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
    int wrong = 0;
    for (int i = 0; i < TIMES; i++) {
        array<int> x(1, 0), y(1, 0), sum(1, 0);
        cudaDeviceSynchronize();
        wrong += record(&graph, s, side, true, x.on, y.on, sum.on, 1) != cudaSuccess;
        wrong += sum.get()[0] != 0; /* nothing has run */
        cudaGraphInstantiate(&exec, graph);
        cudaGraphDestroy(graph);
        cudaGraphLaunch(exec, s);
        launch(s, add, 1, 1, 0, x.on, 1, 1);
        cudaGraphLaunch(exec, s);
        cudaStreamSynchronize(s);
        wrong += sum.get()[0] != ((1 * 10 + 10) * 10 + 3) * 10 + 20;
        cudaGraphExecDestroy(exec);
    }
    ok(wrong == 0, "a graph that forks and joins, launched twice");
    array<int> x(1, 0), y(1, 0);
    cudaDeviceSynchronize();
    ok(record(&graph, s, side, false, x.on, x.on, y.on, 1) == cudaErrorStreamCaptureUnjoined,
       "what does not join is refused");
    cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal);
    launch(s, add, 1, 1, 0, x.on, 1, 1);
    ok(cudaStreamSynchronize(s) == cudaErrorStreamCaptureUnsupported &&
           cudaStreamEndCapture(s, &graph) == cudaErrorStreamCaptureInvalidated,
       "waiting ends a capture");
    void *p;
    cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal);
    ok(cudaMalloc(&p, 4) == cudaErrorStreamCaptureUnsupported &&
           cudaStreamEndCapture(s, &graph) == cudaErrorStreamCaptureInvalidated,
       "so does an allocation");
    int usual = 1;
    cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal);
    ok(cudaMemcpyAsync(x.on, &usual, sizeof usual, cudaMemcpyHostToDevice, s) ==
               cudaErrorStreamCaptureUnsupported &&
           cudaStreamEndCapture(s, &graph) == cudaErrorStreamCaptureInvalidated,
       "and a copy of memory that is not page-locked");
    cudaGetLastError();
    cudaStreamDestroy(s);
    cudaStreamDestroy(side);
}

static void nan_bytes()
{
    float *fresh, host[2];
    cudaMalloc(&fresh, sizeof host);
    cudaMemcpy(host, fresh, sizeof host, cudaMemcpyDeviceToHost);
    ok(isnan(host[0]) && isnan(host[1]), "memory that nobody wrote is NaN");
    launch(NULL, unwritten, 1, 1, 16, fresh, false);
    cudaMemcpy(host, fresh, sizeof host, cudaMemcpyDeviceToHost);
    ok(isnan(host[0]) && isnan(host[1]), "shared memory too, of either kind");
    cudaFree(fresh);
}

/* -- What is wrong comes out ---- */

static void mistake(const std::string &name)
{
    array<float> x(10, 0);
    array<int> n(32, 0);
    int *host = n.on;
    if (name == "two barriers")
        launch(NULL, two_barriers, 1, 32, 0, n.on);
    if (name == "half a warp")
        launch(NULL, half_a_warp, 1, 32, 0, n.on);
    if (name == "beyond")
        launch(NULL, beyond, 1, 1, 0, x.on, 10, 0);
    if (name == "beyond shared")
        launch(NULL, beyond, 1, 1, 40, x.on, 10, 1);
    if (name == "elsewhere")
        launch(NULL, elsewhere, 1, 1, 0, x.on, (float *)n.on - x.on);
    for (int *p; name == "free"; cudaFree(p)) { /* until the kernel has not yet run */
        cudaMalloc(&p, sizeof *p);
        launch(NULL, add, 1, 1, 0, p, 1, 1);
    }
    if (name == "race")
        launch(NULL, block_sum<false>, 1, 64, 0, x.on, x.on, 5);
    if (name == "race in a warp")
        launch(NULL, next_lane<false>, 1, 32, 0, n.on);
    cudaDeviceSynchronize();
    if (name == "touch")
        printf("%d\n", *host);
}

static const char *self;

/* Does this program, making that mistake, end badly and say so? */
static bool found(const char *name, const char *says, const char *strict)
{
    std::string output, command = std::string("SEMPPL_SHIM_STRICT=") + strict + " '" + self +
                                  "' '" + name + "' 2>&1";
    FILE *p = popen(command.c_str(), "r");
    for (int c; (c = getc(p)) != EOF;)
        output += (char)c;
    int status = pclose(p);
    bool yes = status != 0 && output.find(says) != std::string::npos;
    if (!yes)
        printf("# %s: status %d, %s\n", name, status, output.c_str());
    return yes;
}

static void mistakes()
{
    array<float> numbers(320, 1), sums(1);
    array<int> lanes(32);
    if (!RACES) {
        int blocks = 0, warps = 0;
        for (int i = 0; i < TIMES; i++) {
            launch(NULL, block_sum<false>, 1, 64, 0, sums.on, numbers.on, 320);
            launch(NULL, next_lane<false>, 1, 32, 0, lanes.on);
            blocks += !(sums.get()[0] == 320);
            warps += lanes.get()[4] != 5;
        }
        ok(blocks > 0, "a missing barrier is found");
        ok(warps > 0, "a missing one of a warp too");
    } else {
        ok(found("race", "data race", "0"), "a missing barrier is a race");
        ok(found("race in a warp", "data race", "0"), "a missing one of a warp too");
    }
    ok(found("two barriers", "different barriers: block (0,0,0) of two_barriers(int*)", "0"),
       "threads at different barriers are found");
    ok(found("half a warp", "waits in half_a_warp at tests/cuda/test_shim.cpp", "0"),
       "a warp and a barrier that wait for each other are found");
    const char *said = ADDRESSES ? "use-after-poison" : "wrote at byte 40 of";
    ok(found("beyond", said, "0"), "a store beyond an allocation is found");
    ok(found("beyond shared", said, "0"), "and one beyond shared memory");
    ok(found("free", "cudaFree: 0x", "0"), "memory that is freed too early is found");
    ok(found("touch", "", "1"), "so is the host that reads the device's");
    ok(found("elsewhere", "", "1"), "and a kernel that writes where no pointer of its own leads");
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc > 1) {
        mistake(argv[1]);
        return 0;
    }
    kernels();
    limits();
    streams();
    graphs();
    nan_bytes();
    mistakes();
    return done();
}
