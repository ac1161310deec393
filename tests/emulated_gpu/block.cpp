#include "block.h"

#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "device.h"

namespace emulated_gpu {

namespace {

constexpr size_t kStack = 128 * 1024;
constexpr unsigned kWarp = 32;

enum class At { Shuffle, Barrier, End };

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
    pause(At::End);
  }
}

void resume(Fiber& fiber) {
  running = &fiber;
  change(scheduler, fiber.place);
}

/// Runs a warp until all its lanes are at a barrier or at their end.
void run_warp(unsigned first, unsigned end) {
  for (;;) {
    for (unsigned i = first; i < end; ++i) resume(*fibers[i]);
    const At at = fibers[first]->at;
    for (unsigned i = first; i < end; ++i) {
      if (fibers[i]->at != at) fail("the lanes of a warp part at a barrier or a shuffle");
    }
    if (at != At::Shuffle) return;
    if (end - first != kWarp) fail("a shuffle in a warp of less than 32 lanes");
    for (unsigned i = first; i < end; ++i) {
      fibers[i]->got = fibers[first + ((i - first) ^ static_cast<unsigned>(fibers[i]->mask))]->given;
    }
  }
}

void run_block(unsigned threads, std::mt19937& order) {
  const unsigned warps = (threads + kWarp - 1) / kWarp;
  for (;;) {
    const unsigned shift = static_cast<unsigned>(order() % warps);
    const bool reversed = order() % 2 == 1;
    for (unsigned w = 0; w < warps; ++w) {
      const unsigned warp = ((reversed ? warps - 1 - w : w) + shift) % warps;
      run_warp(warp * kWarp, std::min(threads, (warp + 1) * kWarp));
    }
    const At at = fibers[0]->at;
    for (unsigned i = 0; i < threads; ++i) {
      if (fibers[i]->at != at) fail("some threads of a block end while others wait at a barrier");
    }
    if (at == At::End) return;
  }
}

}  // namespace

const ThreadState& here() { return running->state; }
void barrier() { pause(At::Barrier); }
unsigned long long exchange(unsigned long long value, int mask) {
  running->given = value;
  running->mask = mask;
  pause(At::Shuffle);
  return running->got;
}

void run_grid(dim3 blocks, dim3 threads, const std::function<void()>& body) {
  const unsigned count = threads.x * threads.y * threads.z;
  while (fibers.size() < count) fibers.push_back(std::make_unique<Fiber>());
  current_body = &body;
  static std::mt19937 order(7);
  for (unsigned z = 0; z < blocks.z; ++z) {
    for (unsigned y = 0; y < blocks.y; ++y) {
      for (unsigned x = 0; x < blocks.x; ++x) {
        for (unsigned i = 0; i < count; ++i) {
          fibers[i]->state = {
              {i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y}, {x, y, z}, threads, blocks};
        }
        run_block(count, order);
      }
    }
  }
}

}  // namespace emulated_gpu
