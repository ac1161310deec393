// LibTorch's operators on the emulated device. LibTorch's CUDA kernels are GPU machine code, so every ATen operator
// that launches one is replaced: the Meta device gives the shape of its result, and its work is the CPU operator on the
// same memory, enqueued in the current stream. Everything that launches nothing is LibTorch's own code: allocator,
// streams, captures, views, copies between host and device, generators, the checks of autograd.
#include "operators.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/cuda/CUDAFunctions.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace emulated_gpu {

namespace {

using torch::jit::Stack;

/// Calls f(tensor) for every tensor in a value, in place.
template <class F>
c10::IValue with_tensors(const c10::IValue& value, const F& f) {
  if (value.isTensor()) return value.toTensor().defined() ? c10::IValue(f(value.toTensor())) : value;
  if (value.isTensorList()) {
    c10::List<at::Tensor> out;
    for (const at::Tensor& x : value.toTensorVector()) out.push_back(x.defined() ? f(x) : x);
    return out;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> out;
    for (const std::optional<at::Tensor>& x : value.toOptionalTensorVector()) {
      out.push_back(x && x->defined() ? std::optional<at::Tensor>(f(*x)) : x);
    }
    return out;
  }
  return value;
}

c10::IValue with_device(const c10::IValue& value, c10::DeviceType device) {
  return value.isDevice() && value.toDevice().is_cuda() ? c10::IValue(c10::Device(device)) : value;
}

/// The call on the host: created anew for each run, since a graph runs it repeatedly.
struct Call {
  c10::OperatorHandle op;
  std::vector<std::function<c10::IValue()>> arguments;

  Stack on_host() const {
    Stack stack;
    for (const auto& argument : arguments) stack.push_back(argument());
    const at::AutoDispatchBelowADInplaceOrView below;
    op.callBoxed(stack);
    return stack;
  }
};

std::function<c10::IValue()> host_argument(const c10::IValue& value) {
  std::vector<std::function<at::Tensor()>> places;
  const auto note = [&](const at::Tensor& x) {
    if (x.is_cuda()) {
      const bool wrapped = x.unsafeGetTensorImpl()->is_wrapped_number();
      places.push_back([place = Place(x), wrapped] {
        auto out = place.on_host();
        if (wrapped) out.unsafeGetTensorImpl()->set_wrapped_number(true);
        return out;
      });
    } else {  // a number, as an argument of a kernel
      auto copy = x.detach().clone();
      if (x.unsafeGetTensorImpl()->is_wrapped_number()) copy.unsafeGetTensorImpl()->set_wrapped_number(true);
      places.push_back([copy] { return copy; });
    }
    return x;
  };
  with_tensors(value, note);
  if (places.empty()) return [value = with_device(value, c10::kCPU)] { return value; };
  // The value itself would keep the tensors alive; only its structure is stored.
  const auto form = with_tensors(value, [](const at::Tensor&) { return at::empty({0}); });
  return [form, places] {
    size_t next = 0;
    return with_tensors(form, [&](const at::Tensor&) { return places[next++](); });
  };
}

/// A tensor of the same shape and strides on another device; zeros on the host.
at::Tensor form_of(const at::Tensor& x, c10::DeviceType device) {
  if (!x.is_cuda()) return x;
  auto out = at::empty_strided(x.sizes(), x.strides(), x.options().device(device));
  if (device == c10::kCPU) out.zero_();
  if (x.unsafeGetTensorImpl()->is_wrapped_number()) out.unsafeGetTensorImpl()->set_wrapped_number(true);
  return out;
}

at::Tensor device_like(const at::Tensor& x) {
  return at::empty_strided(x.sizes(), x.strides(), x.options().device(c10::kCUDA, 0));
}

/// Rejects what LibTorch's kernels reject: host tensors, except numbers in an expression and indices. Random operators
/// are replaced one by one (custom_operators.cpp).
void check_arguments(const c10::FunctionSchema& schema, const Stack& arguments) {
  static const std::set<std::string> take_indices = {"aten::index", "aten::index_put_", "aten::_index_put_impl_"};
  for (const auto& argument : schema.arguments()) {
    if (argument.type()->str().rfind("Generator", 0) == 0) fail(toString(schema.operator_name()) + " is not emulated");
  }
  if (take_indices.count(schema.name()) > 0) return;
  for (const auto& value : arguments) {
    with_tensors(value, [&](const at::Tensor& x) {
      TORCH_CHECK(x.is_cuda() || x.unsafeGetTensorImpl()->is_wrapped_number(),
                  "Expected all tensors to be on the same device, but found one on ", x.device(), " for ",
                  schema.name(), " on an emulated GPU");
      return x;
    });
  }
}

bool is_in_place(const c10::Argument& result) { return result.alias_info() && result.alias_info()->isWrite(); }

/// The argument that a result aliases.
size_t argument_of(const c10::FunctionSchema& schema, const c10::Argument& result) {
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    const auto* alias = schema.arguments()[i].alias_info();
    if (alias && alias->isWrite() && alias->beforeSets() == result.alias_info()->beforeSets()) return i;
  }
  fail("no argument of " + schema.name() + " is its result");
}

/// Finishes the stream, then runs this call immediately: for results that are host values or whose shape depends on
/// values.
void run_at_once(const c10::OperatorHandle& op, const Call& call, Stack& stack, size_t arguments) {
  c10::cuda::warn_or_error_on_sync();
  const auto stream = current_stream();
  TORCH_CHECK(finish(stream) == cudaSuccess, op.schema().name(), " waits for the device during a capture");
  Stack results;
  {
    const MemoryAccess access;
    results = call.on_host();
    for (auto& value : results) value = with_tensors(value, [](const at::Tensor& x) { return x.clone(); });
  }
  const Stack given(stack.end() - static_cast<ptrdiff_t>(arguments), stack.end());
  torch::jit::drop(stack, arguments);
  for (size_t i = 0; i < results.size(); ++i) {
    const auto& result = op.schema().returns()[i];
    if (is_in_place(result)) {
      stack.push_back(given[argument_of(op.schema(), result)]);
      continue;
    }
    stack.push_back(with_tensors(results[i], [&](const at::Tensor& x) {
      auto out = device_like(x);
      const MemoryAccess access;
      Place(out).on_host().copy_(x);
      return out;
    }));
  }
}

struct Forms {
  Stack arguments, results;
};

/// Runs the call with tensors of the same shapes as the device's: on the Meta device, or with zeros on the host if the
/// operator does not support Meta. Empty if the results' shapes depend on values.
std::optional<Forms> forms_of_call(const c10::OperatorHandle& op, const Stack& given) {
  static const std::set<std::string> by_value = {"aten::nonzero",          "aten::masked_select",      "aten::_unique",
                                                 "aten::_unique2",         "aten::unique_consecutive", "aten::bincount",
                                                 "aten::repeat_interleave"};
  if (by_value.count(op.schema().name()) > 0) return std::nullopt;
  const at::AutoDispatchBelowADInplaceOrView below;
  static std::mutex mutex;
  static std::set<std::string> not_on_meta;  // a cache, since trying Meta is slow
  const auto name = toString(op.operator_name());
  for (const auto device : {c10::kMeta, c10::kCPU}) {
    if (const std::lock_guard<std::mutex> lock(mutex); device == c10::kMeta && not_on_meta.count(name) > 0) continue;
    Forms out;
    std::unordered_map<at::TensorImpl*, at::Tensor> seen;
    const auto form = [&](const at::Tensor& x) {
      auto& known = seen[x.unsafeGetTensorImpl()];
      if (!known.defined()) known = form_of(x, device);
      return known;
    };
    for (const auto& value : given) out.arguments.push_back(with_device(with_tensors(value, form), device));
    out.results = out.arguments;
    try {
      op.callBoxed(out.results);
      return out;
    } catch (const c10::NotImplementedError&) {
      if (device == c10::kCPU) throw;
      const std::lock_guard<std::mutex> lock(mutex);
      not_on_meta.insert(name);
    }
  }
  return std::nullopt;
}

/// Resizes outputs that the operator enlarged.
void resize_outputs(const Stack& given, const Stack& forms) {
  for (size_t i = 0; i < given.size(); ++i) {
    if (!given[i].isTensor() || !given[i].toTensor().defined() || !given[i].toTensor().is_cuda()) continue;
    const auto wanted = forms[i].toTensor().sizes();
    if (given[i].toTensor().sizes() != wanted) given[i].toTensor().resize_(wanted);
  }
}

void emulate(const c10::OperatorHandle& op, Stack* stack) {
  const auto& schema = op.schema();
  const size_t n = schema.arguments().size();
  const Stack given(stack->end() - static_cast<ptrdiff_t>(n), stack->end());
  check_arguments(schema, given);

  const bool host_values = std::any_of(schema.returns().begin(), schema.returns().end(), [](const auto& result) {
    return result.type()->kind() != c10::TypeKind::TensorType && result.type()->kind() != c10::TypeKind::ListType;
  });
  std::optional<Forms> forms;
  if (schema.returns().empty()) {
    forms.emplace();
  } else if (!host_values) {
    forms = forms_of_call(op, given);
  }
  if (forms && !schema.returns().empty()) resize_outputs(given, forms->arguments);
  Call call{op, {}};
  for (const auto& value : given) call.arguments.push_back(host_argument(value));
  if (!forms) return run_at_once(op, call, *stack, n);

  torch::jit::drop(*stack, n);
  std::vector<std::vector<Place>> outputs(schema.returns().size());
  for (size_t i = 0; i < schema.returns().size(); ++i) {
    const auto& result = schema.returns()[i];
    if (is_in_place(result)) {
      stack->push_back(given[argument_of(schema, result)]);
      continue;
    }
    stack->push_back(with_tensors(forms->results[i], [&](const at::Tensor& x) {
      auto out = device_like(x);
      outputs[i].emplace_back(out);
      return out;
    }));
  }
  launch(schema.name(), [call, outputs] {
    const auto results = call.on_host();
    for (size_t i = 0; i < results.size(); ++i) {
      size_t next = 0;
      if (outputs[i].empty()) continue;
      with_tensors(results[i], [&](const at::Tensor& x) {
        outputs[i][next++].on_host().copy_(x);
        return x;
      });
    }
  });
}

// ---------------------------------------------------------------- which operators are replaced

/// Whether the operator launches nothing itself: it manages memory, or consists of other operators, of copies by the
/// runtime or of cuBLAS (blas.cpp).
bool is_kept(const c10::FunctionSchema& schema) {
  static const std::set<std::string> kept = {
      "aten::empty",     "aten::empty_strided", "aten::set_",       "aten::resize_",       "aten::_local_scalar_dense",
      "aten::is_pinned", "aten::_pin_memory",   "aten::resize_as_", "aten::record_stream", "aten::_copy_from",
      "aten::mm"};
  if (kept.count(schema.name()) > 0) return true;
  for (const auto& result : schema.returns()) {
    if (result.alias_info() && !result.alias_info()->isWrite()) return true;  // a view
  }
  return false;
}

class Operators {
 public:
  Operators() : library_(torch::Library::IMPL, "aten", c10::DispatchKey::CUDA, __FILE__, __LINE__) {
    c10::WarningUtils::WarningHandlerGuard quiet(&quiet_);
    register_custom_operators(library_);
    auto& dispatcher = c10::Dispatcher::singleton();
    for (const auto& name : dispatcher.getAllOpNames()) {
      if (name.name.rfind("aten::", 0) != 0 || custom_operators().count(name.name + "." + name.overload_name) > 0) {
        continue;
      }
      const auto op = dispatcher.findOp(name);
      if (!op || !op->hasSchema() || !op->hasKernelForDispatchKey(c10::DispatchKey::CUDA) || is_kept(op->schema())) {
        continue;
      }
      const auto plain = name.name.substr(6) + (name.overload_name.empty() ? "" : "." + name.overload_name);
      library_.impl(plain.c_str(), torch::CppFunction::makeFromBoxedFunction<&emulate>());
    }
  }

 private:
  struct Quiet : c10::WarningHandler {
    void process(const c10::Warning&) override {}  // "overriding a previously registered kernel"
  } quiet_;
  torch::Library library_;
};

// initialised after libtorch_cuda, which this library links
const auto* const operators = new Operators;

}  // namespace

}  // namespace emulated_gpu
