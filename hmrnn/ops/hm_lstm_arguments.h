#pragma once

#include <ATen/ops/_assert_async.h>
#include <c10/util/StringUtil.h>
#include <torch/types.h>

#include <optional>
#include <vector>

#include "hmrnn/ops/hm_lstm.h"

namespace hmrnn {

/// The arguments of the operator hmrnn::hm_lstm, in the structs that the modules use. hm_lstm_schema.h defines their
/// order in the schema. Omitted tensors are undefined.
struct HMLSTMArguments {
  std::vector<LayerParameters> layers;
  WindowInput window;
  BoundaryRule rule;
  WindowDropout dropout;
  std::optional<torch::ScalarType> product_dtype;
  double eps = 1e-5;

  int64_t num_layers() const { return static_cast<int64_t>(layers.size()); }
  bool indexed() const { return window.index.defined(); }
  int64_t steps() const { return indexed() ? window.index.size(0) : window.input.size(0); }
  int64_t batch() const { return indexed() ? window.index.size(1) : window.input.size(1); }
  int64_t units(int64_t l) const { return layers[l].units(); }
  /// The same for symbolic shapes (torch.compile, torch.export).
  c10::SymInt sym_steps() const { return (indexed() ? window.index : window.input).sym_size(0); }
  c10::SymInt sym_batch() const { return (indexed() ? window.index : window.input).sym_size(1); }
  c10::SymInt sym_units(int64_t l) const { return layers[l].recurrent.sym_size(1); }
  bool top(int64_t l) const { return l + 1 == num_layers(); }
  bool layer_norm() const { return !layers.empty() && layers[0].layer_norm(); }
  /// The detector is part of the graph: z carries gradients.
  bool detect() const { return !rule.given.defined() || rule.boundary_gradient; }
  bool bfloat16() const { return product_dtype == torch::kBFloat16; }
};

/// Throws c10::Error naming the argument, what was expected and what was found. Reads shapes, dtypes and devices, no
/// values; shapes may be symbols.
void check_arguments(const HMLSTMArguments& a);

/// Makes every tensor that kernels read through a pointer contiguous; an undefined one stays undefined.
HMLSTMArguments contiguous(HMLSTMArguments a);

/// Throws c10::Error where z0 or the boundaries (contiguous, on the CPU) have a value that is neither 0 nor 1: the
/// reference would use it as a factor, the kernels would take it as 0 or 1.
void check_hard_boundaries(const HMLSTMArguments& a);

/// The same for one tensor `z` of operator or module `op`, called `name`, on a CPU or a GPU. A GPU reports it later:
/// the host does not wait. Other devices do not check it.
inline void assert_hard(const char* op, const char* name, const at::Tensor& z) {
  if (!z.is_cpu() && !z.is_cuda()) return;
  at::_assert_async(z.eq(0).logical_or(z.eq(1)).all(),
                    c10::str(op, ": ", name, " must be 0 or 1 everywhere (only soft boundaries lie in between)"));
}

/// Throws c10::Error where the index (contiguous, on the CPU) has a value that is no row of the table.
void check_index(const HMLSTMArguments& a);

/// Result of a backend's forward pass, and what its backward pass needs: opaque tensors.
struct HMLSTMForward {
  WindowResult result;
  std::vector<torch::Tensor> saved;  ///< empty without `training`
};

/// What a backend's backward pass gets in addition to the arguments.
struct HMLSTMBackward {
  WindowResult result;                  ///< h and z of forward
  std::vector<torch::Tensor> saved;     ///< of forward
  std::vector<torch::Tensor> grad_h;    ///< per layer [T, B, d_l], any of them undefined
  std::vector<torch::Tensor> grad_c_n;  ///< per layer [B, d_l], likewise
  torch::Tensor grad_z;                 ///< [T, B, L-1] or undefined
  bool input_gradient = true;           ///< whether the gradient of `input` is needed
};

/// Gradients of the differentiable arguments, each in its argument's field; undefined where there is none.
struct HMLSTMGradients {
  std::vector<LayerParameters> layers;
  WindowInput window;  ///< input, h0, c0, z0
};

namespace cpu {

/// The kernel that skips COPYs; hard boundaries only (`soft` false). `training`: keep what backward needs. Checks the
/// values of index, z0 and boundaries, which its callers cannot do: they also run without values, for shapes alone.
HMLSTMForward hm_lstm_forward(const HMLSTMArguments& a, bool training);

HMLSTMGradients hm_lstm_backward(const HMLSTMArguments& a, const HMLSTMBackward& b);

}  // namespace cpu

}  // namespace hmrnn
