// A small handwriting model and sequences for it.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <vector>

#include "hmrnn/models/handwriting_model.h"

namespace hmrnn::test {

inline HandwritingOptions small_ink(Core core = Core::HMLSTM) {
  return HandwritingOptions().hidden_sizes({6, 5, 4}).output_embedding_size(7).mixtures(3).core(core);
}

/// Random walks with the given numbers of points.
inline std::vector<torch::Tensor> walks(const std::vector<int64_t>& lengths) {
  auto generator = at::detail::createCPUGenerator(11);
  std::vector<torch::Tensor> out;
  for (const auto n : lengths) {
    auto x = torch::randn({n, 3}, generator, torch::TensorOptions(torch::kFloat32));
    x.select(1, 2).copy_(x.select(1, 2).gt(1));
    out.push_back(x);
  }
  return out;
}

}  // namespace hmrnn::test
