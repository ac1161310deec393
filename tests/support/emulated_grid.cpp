#include "support/emulated_grid.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#ifndef __x86_64__
#include <ucontext.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulated_gpu {

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr size_t kStack = 512 * 1024;  // frames with the sanitizer's red zones
#else
constexpr size_t kStack = 128 * 1024;
#endif
constexpr unsigned kMostLanes = 32;

enum class At { Shuffle, Barrier, Grid, End };

void enter();

#ifdef __x86_64__

// A stack pointer. Below it are the registers that a function must preserve in the System V ABI. A switch takes a few
// nanoseconds; swapcontext makes a system call for the signal mask each time.
using Context = void*;

extern "C" void emulated_gpu_switch(Context* from, Context to);
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

void change(Context& from, Context& to) { emulated_gpu_switch(&from, to); }

void prepare(Context& context, char* stack, size_t size) {
  auto* top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + size) / 16 * 16);
  top[-2] = reinterpret_cast<void*>(&enter);  // return address; the stack is as after a call
  for (int i = 3; i <= 8; ++i) top[-i] = nullptr;
  context = top - 8;
}

#else

using Context = ucontext_t;

void change(Context& from, Context& to) { swapcontext(&from, &to); }

void prepare(Context& context, char* stack, size_t size) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = size;
  context.uc_link = nullptr;
  makecontext(&context, enter, 0);
}

#endif

struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStack]};
  Context context;
  void* fake_stack = nullptr;  // of the address sanitizer
  ThreadState state;
  unsigned long long given = 0, got = 0;
  int mask = 0;
  At at = At::End;
  Fiber* next = nullptr;  // the next lane of the warp, which runs when this one waits; null: the scheduler
  struct Copy {
    void* to;
    const void* from;
    size_t bytes;
  };
  std::vector<Copy> copies;  // pending copies

  Fiber() { prepare(context, stack.get(), kStack); }
};

struct Scheduler {
  Context context;
  void* fake_stack = nullptr;
  const void* stack = nullptr;
  size_t stack_size = 0;
  bool has_left = false;  // for a fiber, which learns the bounds of the scheduler's stack
};

std::vector<std::unique_ptr<Fiber>> fibers;
const std::function<void()>* current_body = nullptr;
Fiber* running = nullptr;
Scheduler scheduler;
std::exception_ptr thrown;                 // by a kernel's body
unsigned long long warp_gave[kMostLanes];  // in the last exchange between lanes

// The address sanitizer needs the bounds of the current stack.
void leave_stack([[maybe_unused]] void** fake, [[maybe_unused]] const void* stack, [[maybe_unused]] size_t size) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(fake, stack, size);
#endif
}
void arrive_on_stack([[maybe_unused]] void* fake, [[maybe_unused]] const void** from, [[maybe_unused]] size_t* size) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake, from, size);
#endif
}

/// On the stack of a fiber that runs again, or for the first time (`fake` null).
void arrive_on_fiber(void* fake) {
  const bool from_scheduler = std::exchange(scheduler.has_left, false);
  arrive_on_stack(fake, from_scheduler ? &scheduler.stack : nullptr, from_scheduler ? &scheduler.stack_size : nullptr);
}

/// Waits, and runs the next lane. Lanes wait at the same calls, so the processor predicts the returns after a switch
/// from one to the next; after one to the scheduler and back it predicts none of them, which takes twice the time.
void pause(At at) {
  auto& fiber = *running;
  fiber.at = at;
  if (fiber.next != nullptr && !thrown) {
    running = fiber.next;
    leave_stack(&fiber.fake_stack, running->stack.get(), kStack);
    change(fiber.context, running->context);
  } else {
    leave_stack(&fiber.fake_stack, scheduler.stack, scheduler.stack_size);
    change(fiber.context, scheduler.context);
  }
  arrive_on_fiber(fiber.fake_stack);
}

/// A fiber runs emulated threads one after the other.
void enter() {
  arrive_on_fiber(nullptr);
  for (;;) {
    try {
      (*current_body)();
      if (!running->copies.empty()) throw std::logic_error("a thread ends before its copies are made");
    } catch (...) {
      thrown = std::current_exception();
    }
    pause(At::End);
  }
}

/// Runs `fiber` and the lanes after it until all of them wait or have ended.
void resume(Fiber& fiber) {
  running = &fiber;
  scheduler.has_left = true;
  leave_stack(&scheduler.fake_stack, fiber.stack.get(), kStack);
  change(scheduler.context, fiber.context);
  arrive_on_stack(scheduler.fake_stack, nullptr, nullptr);
  if (thrown) std::rethrow_exception(std::exchange(thrown, nullptr));
}

/// The fibers of one block.
using Threads = std::unique_ptr<Fiber>*;

/// Runs a warp until all its lanes wait at a barrier or have ended.
void run_warp(Threads lanes, unsigned count, unsigned warp) {
  for (unsigned i = 0; i < count; ++i) lanes[i]->next = i + 1 < count ? lanes[i + 1].get() : nullptr;
  for (;;) {
    resume(*lanes[0]);
    const At at = lanes[0]->at;
    for (unsigned i = 0; i < count; ++i) {
      if (lanes[i]->at != at) throw std::logic_error("the lanes of a warp part at a barrier or a shuffle");
    }
    if (at != At::Shuffle) return;
    if (count != warp) throw std::logic_error("a shuffle in a warp that is not whole");
    for (unsigned i = 0; i < count; ++i) {
      lanes[i]->got = lanes[i ^ static_cast<unsigned>(lanes[i]->mask)]->given;
      warp_gave[i] = lanes[i]->given;
    }
  }
}

/// Runs a block until all its threads wait at a barrier of the grid or have ended.
At run_block(Threads threads, unsigned count, const Grid& grid, std::mt19937& random) {
  const unsigned warps = (count + grid.warp - 1) / grid.warp;
  for (;;) {
    unsigned shift = 0;
    bool reversed = grid.order == Grid::Order::Descending;
    if (grid.order == Grid::Order::Random) {
      shift = static_cast<unsigned>(random() % warps);
      reversed = random() % 2 == 1;
    }
    for (unsigned w = 0; w < warps; ++w) {
      const unsigned first = ((reversed ? warps - 1 - w : w) + shift) % warps * grid.warp;
      run_warp(threads + first, std::min(grid.warp, count - first), grid.warp);
    }
    const At at = threads[0]->at;
    for (unsigned i = 0; i < count; ++i) {
      if (threads[i]->at != at) throw std::logic_error("some threads of a block end while others wait at a barrier");
    }
    if (at != At::Barrier) return at;
  }
}

/// Shared memory of the blocks that run at the same time: separate, and filled with NaN.
class SharedMemory {
 public:
  SharedMemory(size_t blocks, size_t bytes)
      : each_((bytes + kAlign - 1) / kAlign * kAlign), memory_(blocks * each_ + kAlign) {
    first_ = memory_.data() + (kAlign - reinterpret_cast<uintptr_t>(memory_.data()) % kAlign) % kAlign;
    poison();
  }
  void poison() { std::memset(first_, 0xff, memory_.size() - kAlign); }  // NaN in every type
  void* of(size_t block) { return first_ + block * each_; }

 private:
  static constexpr size_t kAlign = 128;
  size_t each_;
  std::vector<char> memory_;
  char* first_;
};

void run(const Grid& grid, const std::function<void()>& body) {
  const unsigned count = grid.threads.count(), all = grid.blocks.count();
  const unsigned resident = grid.together ? all : 1;
  while (fibers.size() < static_cast<size_t>(resident) * count) fibers.push_back(std::make_unique<Fiber>());
  current_body = &body;
  static std::mt19937 random(7);
  SharedMemory memory(resident, grid.shared);
  std::vector<unsigned> turns(resident);
  for (unsigned i = 0; i < resident; ++i) turns[i] = i;
  const auto threads_of = [&](unsigned place) { return fibers.data() + static_cast<size_t>(place) * count; };
  const auto index = [](unsigned i, const Index3& of) { return Index3{i % of.x, i / of.x % of.y, i / of.x / of.y}; };
  for (unsigned first = 0; first < all; first += resident) {
    memory.poison();
    for (unsigned place = 0; place < resident; ++place) {
      for (unsigned i = 0; i < count; ++i) {
        threads_of(place)[i]->state = {index(i, grid.threads), index(first + place, grid.blocks),
                                       grid.threads,           grid.blocks,
                                       memory.of(place),       grid.shared};
      }
    }
    for (unsigned ended = 0; ended < resident;) {
      ended = 0;
      std::shuffle(turns.begin(), turns.end(), random);
      for (const unsigned place : turns) {
        if (run_block(threads_of(place), count, grid, random) == At::End) ++ended;
      }
      if (ended < resident && !grid.together) {
        throw std::logic_error("a barrier of blocks that were not launched together");
      }
      if (ended != 0 && ended != resident) {
        throw std::logic_error("some blocks end while others wait at a barrier of the grid");
      }
    }
  }
}

}  // namespace

const ThreadState& here() { return running->state; }
void barrier() { pause(At::Barrier); }
void grid_barrier() { pause(At::Grid); }
unsigned long long exchange(unsigned long long value, int mask) {
  auto& fiber = *running;
  fiber.given = value;
  fiber.mask = mask;
  pause(At::Shuffle);
  return fiber.got;
}
const unsigned long long* gather(unsigned long long value) {
  exchange(value, 0);
  return warp_gave;
}

void check_shared(const void* p, size_t bytes) {
  const auto& me = here();
  const auto* first = static_cast<const char*>(me.shared);
  const auto* begin = static_cast<const char*>(p);
  if (begin < first || begin + bytes > first + me.shared_bytes) {
    throw std::logic_error("an access to shared memory outside of what the block has");
  }
}
void copy_later(void* to, const void* from, size_t bytes) { running->copies.push_back({to, from, bytes}); }
void copy_now() {
  for (const auto& copy : running->copies) std::memcpy(copy.to, copy.from, copy.bytes);
  running->copies.clear();
}

void run_grid(const Grid& grid, const std::function<void()>& body) {
  if (grid.warp < 1 || grid.warp > kMostLanes) throw std::logic_error("a warp has 1 to 32 threads");
  try {
    run(grid, body);
  } catch (...) {
    fibers.clear();  // some have stopped in the middle of a body
    throw;
  }
}

}  // namespace emulated_gpu
