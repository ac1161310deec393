#include "support/host_block.h"

#include <cstdint>
#include <cstring>
#include <stdexcept>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace hmrnn::test {

namespace {

constexpr size_t kStack = 256 * 1024;

// The address sanitizer has to know on which stack it is.
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

}  // namespace

struct HostTeam::Fiber {
  HostTeam* team;
  int thread;
  bool done = true;
  ucontext_t context;
  void* fake_stack = nullptr;
  std::vector<unsigned char> stack;
};

int HostBlock::threads() const { return team_->threads(); }
void HostBlock::barrier() const {
  if (team_->threads() > 1) team_->pause(thread_);
}
cuda::BlockMemory* HostBlock::shared() const { return &team_->shared_; }

HostTeam::HostTeam(int threads, bool reversed) : reversed_(reversed) {
  if (threads < 1 || threads > cuda::kMaxGroups) throw std::logic_error("a host block has 1 to 32 threads");
  for (int i = 0; i < threads; ++i) {
    auto& fiber = fibers_.emplace_back(new Fiber);
    fiber->team = this;
    fiber->thread = i;
    if (threads > 1) fiber->stack.resize(kStack);
  }
}

HostTeam::~HostTeam() = default;

void HostTeam::run(const std::function<void(const HostBlock&)>& body) {
  std::memset(&shared_, 0xff, sizeof(shared_));  // NaN: what is read before it was written shows
  if (threads() == 1) return body(HostBlock(this, 0));
  body_ = &body;
  for (auto& fiber : fibers_) {
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.data();
    fiber->context.uc_stack.ss_size = fiber->stack.size();
    fiber->context.uc_link = nullptr;
    const auto address = reinterpret_cast<uintptr_t>(fiber.get());
    makecontext(&fiber->context, reinterpret_cast<void (*)()>(&HostTeam::enter), 2,
                static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
    fiber->done = false;
  }
  size_t done = 0;
  while (done < fibers_.size()) {
    for (size_t i = 0; i < fibers_.size(); ++i) resume(*fibers_[reversed_ ? fibers_.size() - 1 - i : i]);
    done = 0;
    for (const auto& fiber : fibers_) done += fiber->done ? 1 : 0;
    if (done > 0 && done < fibers_.size()) throw std::logic_error("some threads of a block are not at the barrier");
  }
}

void HostTeam::resume(Fiber& fiber) {
  leave_stack(&caller_fake_stack_, fiber.stack.data(), fiber.stack.size());
  swapcontext(&caller_, &fiber.context);
  arrive_on_stack(caller_fake_stack_, nullptr, nullptr);
}

void HostTeam::pause(int thread) {
  auto& fiber = *fibers_[thread];
  leave_stack(&fiber.fake_stack, caller_stack_, caller_stack_size_);
  swapcontext(&fiber.context, &caller_);
  arrive_on_stack(fiber.fake_stack, &caller_stack_, &caller_stack_size_);
}

void HostTeam::enter(unsigned high, unsigned low) {
  auto& fiber = *reinterpret_cast<Fiber*>((static_cast<uintptr_t>(high) << 32) | low);
  auto& team = *fiber.team;
  arrive_on_stack(nullptr, &team.caller_stack_, &team.caller_stack_size_);
  (*team.body_)(HostBlock(&team, fiber.thread));
  fiber.done = true;
  leave_stack(nullptr, team.caller_stack_, team.caller_stack_size_);  // null: this stack will not be come back to
  setcontext(&team.caller_);
}

}  // namespace hmrnn::test
