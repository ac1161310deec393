// Tests of the emulated device: what it runs, and what it rejects.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "block.h"
#include "catch.h"
#include "device.h"

using namespace emulated_gpu;

namespace {

/// Whether f ends the process by a signal (in a child process without output).
template <class F>
bool dies(F f) {
  const pid_t child = fork();
  if (child == 0) {
    for (const int number : {SIGSEGV, SIGABRT, SIGBUS}) std::signal(number, SIG_DFL);
    if (!freopen("/dev/null", "w", stderr)) _exit(3);
    f();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK((WIFSIGNALED(status) || WEXITSTATUS(status) == 0));  // 3: f could not do what it was to do
  return WIFSIGNALED(status);
}

cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, 0) == cudaSuccess);
  return stream;
}

cudaEvent_t new_event() {
  cudaEvent_t event = nullptr;
  REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
  return event;
}

/// Enqueues work that appends `letter` to the text.
void write(std::string& to, cudaStream_t stream, char letter) {
  REQUIRE(enqueue(stream, "write", [&to, letter] { to += letter; }) == cudaSuccess);
}

}  // namespace

TEST_CASE("a stream's work runs in its order, once the host waits for it") {
  const auto stream = new_stream(), other = new_stream();
  std::string text;
  write(text, stream, 'a');
  write(text, other, 'x');
  write(text, stream, 'b');
  CHECK(text.empty());
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(text == "ab");  // nothing has waited for the other stream
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(text == "abx");
}

TEST_CASE("an event orders two streams, and nothing else does") {
  const auto first = new_stream(), second = new_stream();
  const auto event = new_event();
  std::string text;
  const bool waits = GENERATE(true, false);
  write(text, first, 'a');
  REQUIRE(cudaEventRecord(event, first) == cudaSuccess);
  write(text, first, 'b');
  if (waits) REQUIRE(cudaStreamWaitEvent(second, event, 0) == cudaSuccess);
  write(text, second, 'x');
  CHECK(cudaEventQuery(new_event()) == cudaSuccess);  // never recorded
  REQUIRE(cudaStreamSynchronize(second) == cudaSuccess);
  CHECK(text == (waits ? "ax" : "x"));
  REQUIRE(cudaEventSynchronize(event) == cudaSuccess);
  CHECK(text == (waits ? "ax" : "xa"));
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(text.back() == 'b');
}

TEST_CASE("a copy reads pinned memory when it runs, other memory when it is called") {
  const auto stream = new_stream();
  char *device = nullptr, *pinned = nullptr, pageable[4] = "old";
  REQUIRE(cudaMalloc(reinterpret_cast<void**>(&device), 8) == cudaSuccess);
  REQUIRE(cudaHostAlloc(reinterpret_cast<void**>(&pinned), 4, 0) == cudaSuccess);
  std::strcpy(pinned, "old");
  REQUIRE(cudaMemcpyAsync(device, pinned, 4, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  REQUIRE(cudaMemcpyAsync(device + 4, pageable, 4, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  std::strcpy(pinned, "new");
  std::strcpy(pageable, "new");
  char back[8];
  REQUIRE(cudaMemcpyAsync(back, device, 8, cudaMemcpyDeviceToHost, stream) == cudaSuccess);  // waits
  CHECK(std::string(back) == "new");
  CHECK(std::string(back + 4) == "old");
  CHECK(kind_of(device + 7) == MemoryKind::Device);
  CHECK(kind_of(pinned + 3) == MemoryKind::Pinned);
  CHECK(kind_of(back) == MemoryKind::Pageable);
  CHECK(cudaFree(device) == cudaSuccess);
  CHECK(cudaFree(device) == cudaErrorInvalidValue);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
}

TEST_CASE("device memory is closed to the host, begins as NaN, and ends") {
  float* device = nullptr;
  size_t free_before = 0, free_after = 0, total = 0;
  REQUIRE(cudaMemGetInfo(&free_before, &total) == cudaSuccess);
  REQUIRE(cudaMalloc(reinterpret_cast<void**>(&device), sizeof(float)) == cudaSuccess);
  CHECK(dies([&] { *const_cast<volatile float*>(device) = 1; }));
  bool nan = false;
  REQUIRE(enqueue(nullptr, "read", [&] { nan = *device != *device; }) == cudaSuccess);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(nan);
  void* more = nullptr;
  CHECK(cudaMalloc(&more, total) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  REQUIRE(cudaFree(device) == cudaSuccess);
  REQUIRE(cudaMemGetInfo(&free_after, &total) == cudaSuccess);
  CHECK(free_after == free_before);
}

TEST_CASE("a capture launches nothing; its graph runs as often as it is launched, in an order of its own") {
  const auto stream = new_stream(), side = new_stream();
  const auto fork = new_event(), join = new_event();
  std::string text;
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  write(text, stream, 'a');
  REQUIRE(cudaEventRecord(fork, stream) == cudaSuccess);
  REQUIRE(cudaStreamWaitEvent(side, fork, 0) == cudaSuccess);
  CHECK(is_capturing(side));
  write(text, stream, 'b');
  write(text, side, 'x');
  REQUIRE(cudaEventRecord(join, side) == cudaSuccess);
  const bool joined = GENERATE(true, false);
  if (joined) REQUIRE(cudaStreamWaitEvent(stream, join, 0) == cudaSuccess);
  write(text, stream, 'c');
  cudaGraph_t graph = nullptr;
  const auto ended = cudaStreamEndCapture(stream, &graph);
  CHECK_FALSE(is_capturing(side));
  CHECK(text.empty());
  if (!joined) {
    CHECK(ended == cudaErrorStreamCaptureUnjoined);
    return;
  }
  REQUIRE(ended == cudaSuccess);
  cudaGraphExec_t runnable = nullptr;
  REQUIRE(cudaGraphInstantiateWithFlags(&runnable, graph, 0) == cudaSuccess);
  REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
  for (int i = 0; i < 2; ++i) REQUIRE(cudaGraphLaunch(runnable, stream) == cudaSuccess);
  CHECK(text.empty());
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(text == "axbcaxbc");  // x was recorded after b
}

TEST_CASE("a capture is spoilt by what cannot be recorded") {
  const auto stream = new_stream();
  const auto event = new_event();
  REQUIRE(cudaEventRecord(event, nullptr) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  REQUIRE(enqueue(stream, "work", [] {}) == cudaSuccess);
  SECTION("waiting") { CHECK(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported); }
  SECTION("waiting for the device") { CHECK(cudaDeviceSynchronize() == cudaErrorStreamCaptureUnsupported); }
  SECTION("memory") {
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, 1) == cudaErrorStreamCaptureUnsupported);
  }
  SECTION("an event from outside") { CHECK(cudaStreamWaitEvent(stream, event, 0) == cudaErrorStreamCaptureIsolation); }
  CHECK(enqueue(stream, "work", [] {}) == cudaErrorStreamCaptureInvalidated);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(graph == nullptr);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

TEST_CASE("what a thread allocates in relaxed mode spoils no capture") {
  const auto stream = new_stream();
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  auto mode = cudaStreamCaptureModeRelaxed;
  cudaThreadExchangeStreamCaptureMode(&mode);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 1) == cudaSuccess);
  cudaThreadExchangeStreamCaptureMode(&mode);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaFree(memory) == cudaSuccess);
}

TEST_CASE("the threads of a block meet at barriers and shuffles") {
  constexpr unsigned threads = 96, blocks = 3;
  std::vector<int> shared(threads), seen(threads * blocks);
  launch_grid({blocks, 1, 1}, {threads, 1, 1}, 0, false, [&] {
    const auto& me = here();
    int lanes = static_cast<int>(me.thread.x);
    for (int mask = 16; mask > 0; mask /= 2) lanes += __shfl_xor_sync(0xffffffffu, lanes, mask);
    shared[me.thread.x] = lanes;
    __syncthreads();
    seen[me.block.x * threads + me.thread.x] = shared[0] + shared[32] + shared[95 - me.thread.x % 32];
  });
  int sums[3] = {0, 0, 0};
  for (int i = 0; i < 96; ++i) sums[i / 32] += i;
  for (const int value : seen) CHECK(value == sums[0] + sums[1] + sums[2]);
}

TEST_CASE("a block shows a barrier that is missing, and ends the program where its threads part") {
  bool early = false;
  for (int i = 0; i < 10; ++i) {  // the order of the warps changes
    std::vector<int> shared(64, 0);
    launch_grid({1, 1, 1}, {64, 1, 1}, 0, false, [&] {
      shared[here().thread.x] = 1;
      early |= shared[63 - here().thread.x] == 0;
    });
  }
  CHECK(early);
  const auto run = [](unsigned threads, const std::function<void()>& body) {
    return dies([&] { launch_grid({1, 1, 1}, {threads, 1, 1}, 0, false, body); });
  };
  CHECK_FALSE(run(64, [] { __syncthreads(); }));
  CHECK(run(64, [] {
    if (here().thread.x < 32) __syncthreads();
  }));
  CHECK(run(32, [] {
    if (here().thread.x % 2 == 0) __shfl_xor_sync(0xffffffffu, 1, 1);
  }));
  CHECK(run(31, [] { __shfl_xor_sync(0xffffffffu, 1, 1); }));
}

TEST_CASE("blocks that are launched together meet at barriers of the grid, each with shared memory of its own") {
  constexpr unsigned threads = 64, blocks = 5;
  std::vector<int> sums(blocks), seen;
  bool poisoned = true;
  launch_grid({blocks, 1, 1}, {threads, 1, 1}, threads * sizeof(float), true, [&] {
    const auto& me = here();
    auto* own = static_cast<float*>(me.shared);
    poisoned &= own[me.thread.x] != own[me.thread.x];
    __syncthreads();
    own[me.thread.x] = static_cast<float>(me.block.x);
    __syncthreads();
    if (me.thread.x == 0) {
      for (unsigned i = 0; i < threads; ++i) sums[me.block.x] += static_cast<int>(own[i]);
    }
    emulated_gpu::grid_barrier();
    if (me.thread.x == 0) seen.push_back(sums[0] + sums[1] + sums[2] + sums[3] + sums[4]);
  });
  CHECK(poisoned);
  CHECK(seen == std::vector<int>(blocks, threads * (0 + 1 + 2 + 3 + 4)));

  bool early = false;  // whether some block ran too early; only a barrier of the grid prevents that
  std::vector<int> there(blocks, 0);
  launch_grid({blocks, 1, 1}, {threads, 1, 1}, 0, true, [&] {
    there[here().block.x] = 1;
    __syncthreads();
    early |= there[blocks - 1 - here().block.x] == 0;
  });
  CHECK(early);

  const auto run = [](bool together, const std::function<void()>& body) {
    return dies([&] { launch_grid({2, 1, 1}, {32, 1, 1}, 0, together, body); });
  };
  CHECK_FALSE(run(true, [] { grid_barrier(); }));
  CHECK(run(false, [] { grid_barrier(); }));
  CHECK(run(true, [] {
    if (here().block.x == 0) grid_barrier();
  }));
  CHECK(run(true, [] {
    if (here().thread.x == 0) grid_barrier();
  }));
}

TEST_CASE("a launch that no device takes is an error; a kernel without code ends the program") {
  const char stub = 0;
  CHECK(cudaLaunchKernel(&stub, {1, 1, 1}, {1025, 1, 1}, nullptr, 0, nullptr) == cudaErrorInvalidConfiguration);
  CHECK(cudaLaunchKernel(&stub, {1, 65536, 1}, {32, 1, 1}, nullptr, 0, nullptr) == cudaErrorInvalidConfiguration);
  CHECK(cudaLaunchKernel(&stub, {0, 1, 1}, {32, 1, 1}, nullptr, 0, nullptr) == cudaErrorInvalidConfiguration);
  CHECK(dies([&] { cudaLaunchKernel(&stub, {1, 1, 1}, {32, 1, 1}, nullptr, 0, nullptr); }));
  CHECK(cudaLaunchCooperativeKernel(&stub, {17, 1, 1}, {32, 1, 1}, nullptr, 0, nullptr) ==
        cudaErrorCooperativeLaunchTooLarge);
  // more dynamic shared memory than the default limit of a kernel
  constexpr size_t shared = 100 << 10;
  CHECK(cudaLaunchKernel(&stub, {1, 1, 1}, {32, 1, 1}, nullptr, shared, nullptr) == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(&stub, cudaFuncAttributeMaxDynamicSharedMemorySize, 300 << 10) == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(&stub, cudaFuncAttributeMaxDynamicSharedMemorySize, shared) == cudaSuccess);
  CHECK(dies([&] { cudaLaunchKernel(&stub, {1, 1, 1}, {32, 1, 1}, nullptr, shared, nullptr); }));
  cudaGetLastError();
}

// Runs in a separate process with EMULATED_GPU_FENCED=1 (CMakeLists.txt).
TEST_CASE("fenced: past the end of a block, and in one that was freed, every access ends the program", "[.fenced]") {
  REQUIRE(std::getenv("EMULATED_GPU_FENCED") != nullptr);
  const size_t bytes = GENERATE(16, 4096, 100'000);
  char *block = nullptr, *next = nullptr;
  REQUIRE(cudaMalloc(reinterpret_cast<void**>(&block), bytes) == cudaSuccess);
  REQUIRE(cudaMalloc(reinterpret_cast<void**>(&next), bytes) == cudaSuccess);
  const size_t end = (bytes + 15) / 16 * 16;  // a block ends at a page's end, up to 16 bytes
  const auto launch = [](auto work) {
    const auto stream = new_stream();
    if (enqueue(stream, "kernel", work) != cudaSuccess || cudaStreamSynchronize(stream) != cudaSuccess) _exit(3);
  };
  const auto touch = [](volatile char* at) { *at = *at; };
  for (char* const at : {block, block + bytes - 1}) {
    CHECK_FALSE(dies([&] { launch([=] { touch(at); }); }));
    CHECK_FALSE(dies([&] { touch(at); }));
  }
  CHECK(dies([&] { launch([=] { touch(block + end); }); }));
  CHECK(dies([&] { launch([=] { touch(next + end); }); }));
  REQUIRE(cudaFree(block) == cudaSuccess);
  CHECK(dies([&] { launch([=] { touch(block); }); }));
  CHECK_FALSE(dies([&] { launch([=] { touch(next); }); }));
  REQUIRE(cudaFree(next) == cudaSuccess);
}
