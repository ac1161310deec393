#include "block.h"

#include <ucontext.h>

#include <csetjmp>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "device.h"

namespace emulated_gpu {

namespace {

constexpr size_t kStack = 128 * 1024;
constexpr unsigned kWarp = 32;

enum class At { New, Shuffle, Barrier, End };

void enter();

/// setjmp and longjmp between the stacks that makecontext made: without the system calls of swapcontext.
struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStack]};
  ucontext_t begin;
  jmp_buf place;
  ThreadState state;

  Fiber() {
    getcontext(&begin);
    begin.uc_stack.ss_sp = stack.get();
    begin.uc_stack.ss_size = kStack;
    begin.uc_link = nullptr;
    makecontext(&begin, enter, 0);
  }
  unsigned long long given = 0, got = 0;
  int mask = 0;
  At at = At::New;
};

std::vector<std::unique_ptr<Fiber>> fibers;  // work is done by one host thread at a time
const std::function<void()>* current_body = nullptr;
Fiber* running = nullptr;
jmp_buf scheduler;

void pause(At at) {
  Fiber* self = running;
  self->at = at;
  if (_setjmp(self->place) == 0) _longjmp(scheduler, 1);
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
  if (_setjmp(scheduler) != 0) return;
  if (fiber.at == At::New) setcontext(&fiber.begin);
  _longjmp(fiber.place, 1);
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
