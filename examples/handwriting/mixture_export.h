#pragma once

#include <filesystem>
#include <vector>

#include "hmrnn/tasks/evaluate_ink.h"

/// Collects the predicted mixtures of an evaluation, for other programs to check or to use.
class MixtureExport {
 public:
  /// To be called for every window, as an InkVisitor.
  void add(const hmrnn::InkWindow& window, const hmrnn::HandwritingOutput& output);

  /// Writes a safetensors file with a row for each target: `weight` [N, M], `mean` and `deviation` [N, M, 2],
  /// `correlation` [N, M], `pen_up` [N] (its probability), `target` [N, 3], all float32 and standardised, and
  /// `sequence` int64 [N].
  void write(const std::filesystem::path& path) const;

 private:
  std::vector<torch::Tensor> raw_, target_, sequence_;
};
