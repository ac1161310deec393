// A CPU substitute for a CUDA graph, as faithful as the dispatcher allows: `capture` does the work once and records
// every operator that runs below autograd, with its tensors and numbers; `replay` repeats this list and nothing else.
// As in a CUDA graph, a number of the host is baked in, a host tensor that is replaced by another one is not noticed, a
// branch is not evaluated again, and random numbers are drawn anew.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>
#include <torch/types.h>

#include <map>
#include <string>
#include <vector>

#include "hmrnn/ops/window_graph.h"

namespace hmrnn::test {

class TracedGraph : public WindowGraph {
 public:
  std::optional<c10::Stream> stream() const override { return std::nullopt; }

  void capture(const std::function<void()>& work) override {
    listen();
    calls_.clear();
    host_reads_.clear();
    recording() = this;
    try {
      const c10::impl::IncludeDispatchKeyGuard guard(kKey);
      work();
    } catch (...) {
      recording() = nullptr;
      throw;
    }
    recording() = nullptr;
  }

  void replay() override {
    const torch::NoGradGuard no_grad;
    const at::AutoDispatchBelowADInplaceOrView below;
    for (auto& call : calls_) {
      torch::jit::Stack stack = call.inputs;
      call.op.callBoxed(&stack);
      for (size_t i = 0; i < call.outputs.size(); ++i) renew(call.outputs[i], stack.at(i));
    }
    ++replays;
  }

  size_t size() const { return calls_.size(); }
  /// Operators that copied a tensor's value to the host, by name, and how often: a CUDA capture would have failed
  /// there.
  const std::map<std::string, int>& host_reads() const { return host_reads_; }

  int replays = 0;

 private:
  // A key below autograd and above every backend; nothing else uses it.
  static constexpr auto kKey = c10::DispatchKey::Fake;

  struct Call {
    c10::OperatorHandle op;
    torch::jit::Stack inputs, outputs;
  };

  static TracedGraph*& recording() {
    thread_local TracedGraph* graph = nullptr;
    return graph;
  }

  static void record(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
    const c10::impl::ExcludeDispatchKeyGuard inside(kKey);  // operators called by an operator are not recorded
    const auto arguments = op.schema().arguments().size();
    torch::jit::Stack inputs(stack->end() - static_cast<std::ptrdiff_t>(arguments), stack->end());
    op.callBoxed(stack);
    auto* graph = recording();
    if (!graph) return;
    const auto& name = op.schema().name();
    if (name == "aten::_local_scalar_dense" || name == "aten::is_nonzero" || name == "aten::equal") {
      ++graph->host_reads_[name];
      return;
    }
    const auto returns = static_cast<std::ptrdiff_t>(op.schema().returns().size());
    graph->calls_.push_back({op, std::move(inputs), torch::jit::Stack(stack->end() - returns, stack->end())});
  }

  static void listen() {
    static torch::Library library(torch::Library::IMPL, "_", kKey, __FILE__, __LINE__);
    [[maybe_unused]] static const bool registered = [] {
      library.fallback(torch::CppFunction::makeFromBoxedFunction<&record>());
      return true;
    }();
  }

  /// Copies the result of a replay into the recorded output, for the calls that take it as an input.
  static void renew(const c10::IValue& recorded, const c10::IValue& now) {
    if (recorded.isTensor()) {
      const auto& old = recorded.toTensor();
      const auto& value = now.toTensor();
      if (!old.defined() || old.is_same(value)) return;
      const bool same_shape = old.sizes() == value.sizes() && old.strides() == value.strides();
      if (same_shape && old.data_ptr() == value.data_ptr()) return;  // a view
      const bool opaque = old.scalar_type() == torch::kByte && old.numel() == 1;  // ops/saved_tensors.h: owns tensors
      if (same_shape && old.is_non_overlapping_and_dense() && !opaque) {
        const_cast<torch::Tensor&>(old).copy_(value);  // other tensors may share the memory
      } else {  // the size of what is saved for backward depends on the values (CPU operators)
        old.unsafeGetTensorImpl()->shallow_copy_from(value.getIntrusivePtr());
      }
    } else if (recorded.isTensorList()) {
      const auto old = recorded.toTensorVector(), value = now.toTensorVector();
      for (size_t i = 0; i < old.size(); ++i) renew(old[i], value.at(i));
    }
  }

  std::vector<Call> calls_;
  std::map<std::string, int> host_reads_;
};

}  // namespace hmrnn::test
