#include "block.h"

#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "device.h"

namespace emulated_gpu {

namespace {

constexpr size_t kStack = 128 * 1024;
constexpr unsigned kWarp = 32;

enum class At { Shuffle, Barrier, Grid, End };

void enter();

#ifdef __x86_64__

// Where a stack stands: its pointer, what the System V ABI has a function keep saved below it. A switch takes a few
// nanoseconds; swapcontext asks the kernel for the mask of signals each time, and longjmp walks through the thread's
// cleanups.
using Place = void*;

extern "C" void emulated_gpu_switch(Place* from, Place to);
asm(R"(
  .text
  .type emulated_gpu_switch, @function
emulated_gpu_switch:
  push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp
  ret
  .size emulated_gpu_switch, .-emulated_gpu_switch
)");

void change(Place& from, Place& to) { emulated_gpu_switch(&from, to); }

void prepare(Place& place, char* stack, size_t size) {
  auto* top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + size) / 16 * 16);
  top[-2] = reinterpret_cast<void*>(&enter);  // returned to with the stack as after a call
  for (int i = 3; i <= 8; ++i) top[-i] = nullptr;
  place = top - 8;
}

#else

using Place = ucontext_t;

void change(Place& from, Place& to) { swapcontext(&from, &to); }

void prepare(Place& place, char* stack, size_t size) {
  getcontext(&place);
  place.uc_stack.ss_sp = stack;
  place.uc_stack.ss_size = size;
  place.uc_link = nullptr;
  makecontext(&place, enter, 0);
}

#endif

struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStack]};
  Place place;
  ThreadState state;
  unsigned long long given = 0, got = 0;
  int mask = 0;
  At at = At::End;
  struct Copy {
    void* to;
    const void* from;
    size_t bytes;
  };
  std::vector<Copy> copies;  // not made yet

  Fiber() { prepare(place, stack.get(), kStack); }
};

std::vector<std::unique_ptr<Fiber>> fibers;  // work is done by one host thread at a time
const std::function<void()>* current_body = nullptr;
Fiber* running = nullptr;
Place scheduler;

void pause(At at) {
  running->at = at;
  change(running->place, scheduler);
}

/// A fiber's life: one thread after the other.
void enter() {
  for (;;) {
    (*current_body)();
    if (!running->copies.empty()) fail("a thread ends before its copies are made");
    pause(At::End);
  }
}

void resume(Fiber& fiber) {
  running = &fiber;
  change(scheduler, fiber.place);
}

unsigned long long warp_gave[kWarp];  // at the last meeting of lanes

/// The fibers of one block, one after the other.
using Threads = std::unique_ptr<Fiber>*;

/// Runs a warp until all its lanes are at a barrier or at their end.
void run_warp(Threads lanes, unsigned count) {
  for (;;) {
    for (unsigned i = 0; i < count; ++i) resume(*lanes[i]);
    const At at = lanes[0]->at;
    for (unsigned i = 0; i < count; ++i) {
      if (lanes[i]->at != at) fail("the lanes of a warp part at a barrier or a shuffle");
    }
    if (at != At::Shuffle) return;
    if (count != kWarp) fail("a shuffle in a warp of less than 32 lanes");
    for (unsigned i = 0; i < count; ++i) {
      lanes[i]->got = lanes[i ^ static_cast<unsigned>(lanes[i]->mask)]->given;
      warp_gave[i] = lanes[i]->given;
    }
  }
}

/// Runs a block until all its threads are at a barrier of the grid or at their end.
At run_block(Threads threads, unsigned count, std::mt19937& order) {
  const unsigned warps = (count + kWarp - 1) / kWarp;
  for (;;) {
    const unsigned shift = static_cast<unsigned>(order() % warps);
    const bool reversed = order() % 2 == 1;
    for (unsigned w = 0; w < warps; ++w) {
      const unsigned first = ((reversed ? warps - 1 - w : w) + shift) % warps * kWarp;
      run_warp(threads + first, std::min(kWarp, count - first));
    }
    const At at = threads[0]->at;
    for (unsigned i = 0; i < count; ++i) {
      if (threads[i]->at != at) fail("some threads of a block end while others wait at a barrier");
    }
    if (at != At::Barrier) return at;
  }
}

/// Of the blocks that run at the same time: poisoned, and away from each other.
class SharedMemory {
 public:
  SharedMemory(size_t blocks, size_t bytes)
      : each_((bytes + kAlign - 1) / kAlign * kAlign), memory_(blocks * each_ + kAlign) {
    first_ = memory_.data() + (kAlign - reinterpret_cast<uintptr_t>(memory_.data()) % kAlign) % kAlign;
    poison();
  }
  void poison() { std::memset(first_, 0xff, memory_.size() - kAlign); }  // NaN, of whatever size
  void* of(size_t block) { return first_ + block * each_; }

 private:
  static constexpr size_t kAlign = 128;
  size_t each_;
  std::vector<char> memory_;
  char* first_;
};

}  // namespace

const ThreadState& here() { return running->state; }
void barrier() { pause(At::Barrier); }
void grid_barrier() { pause(At::Grid); }
unsigned long long exchange(unsigned long long value, int mask) {
  running->given = value;
  running->mask = mask;
  pause(At::Shuffle);
  return running->got;
}

void check_shared(const void* p, size_t bytes) {
  const auto& me = here();
  const auto* first = static_cast<const char*>(me.shared);
  const auto* begin = static_cast<const char*>(p);
  if (begin < first || begin + bytes > first + me.shared_bytes) {
    fail("an access to shared memory outside of what the block has");
  }
}
void copy_later(void* to, const void* from, size_t bytes) { running->copies.push_back({to, from, bytes}); }
void copy_now() {
  for (const auto& copy : running->copies) std::memcpy(copy.to, copy.from, copy.bytes);
  running->copies.clear();
}
const unsigned long long* gather(unsigned long long value) {
  exchange(value, 0);
  return warp_gave;
}

void run_grid(dim3 blocks, dim3 threads, size_t shared, bool together, const std::function<void()>& body) {
  const unsigned count = threads.x * threads.y * threads.z, all = blocks.x * blocks.y * blocks.z;
  const unsigned resident = together ? all : 1;
  while (fibers.size() < static_cast<size_t>(resident) * count) fibers.push_back(std::make_unique<Fiber>());
  current_body = &body;
  static std::mt19937 order(7);
  SharedMemory memory(resident, shared);
  std::vector<unsigned> turns(resident);
  for (unsigned i = 0; i < resident; ++i) turns[i] = i;
  const auto threads_of = [&](unsigned place) { return fibers.data() + static_cast<size_t>(place) * count; };
  for (unsigned first = 0; first < all; first += resident) {
    memory.poison();
    for (unsigned place = 0; place < resident; ++place) {
      const unsigned block = first + place;
      const uint3 where = {block % blocks.x, block / blocks.x % blocks.y, block / blocks.x / blocks.y};
      for (unsigned i = 0; i < count; ++i) {
        const uint3 thread = {i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y};
        threads_of(place)[i]->state = {thread, where, threads, blocks, memory.of(place), shared};
      }
    }
    for (unsigned ended = 0; ended < resident;) {
      ended = 0;
      std::shuffle(turns.begin(), turns.end(), order);
      for (const unsigned place : turns) {
        if (run_block(threads_of(place), count, order) == At::End) ++ended;
      }
      if (ended < resident && !together) fail("a barrier of blocks that were not launched together");
      if (ended != 0 && ended != resident) fail("some blocks end while others wait at a barrier of the grid");
    }
  }
}

}  // namespace emulated_gpu
