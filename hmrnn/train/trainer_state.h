#pragma once

#include <torch/nn/module.h>

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "hmrnn/io/safetensors.h"
#include "hmrnn/train/schedule.h"

namespace hmrnn {

/// The numbers of state.safetensors, stored as JSON under the metadata key `hmrnn`; the tensors are stored beside them.
struct TrainerState {
  int64_t step = 0;
  int64_t evaluated_step = -1;
  LearningRateSchedule::State schedule;
  std::optional<double> best_loss, best_ema_loss;
  int64_t best_step = 0;
  double elapsed_seconds = 0;
  double record_seconds = 0;
  double skipped_total = 0;
  double skipped_in_row = 0;
  double slope = 1;
  bool recovered = false;
  int64_t recovered_from = -1;  ///< the step from which the run returned; -1: not recovered, or an older state

  void store(SafeTensors& file, const nlohmann::ordered_json& run_settings) const;
  /// Throws hmrnn::Error naming `where` if the metadata are missing or malformed.
  static TrainerState parse(const SafeTensors& file, const std::string& where);
  static nlohmann::ordered_json run_settings(const SafeTensors& file, const std::string& where);
};

/// Throws hmrnn::Error naming `where` and a tensor with a value that is not finite, from which a run must not resume.
void require_finite_state(const SafeTensors& file, const std::string& where);

/// Copies of the module's parameters as `model.NAME`.
SafeTensors pack_parameters(const torch::nn::Module& module);
/// Restores them; throws hmrnn::Error naming `where` and a tensor that does not fit.
void load_parameters(torch::nn::Module& module, const SafeTensors& file, const std::string& where);

}  // namespace hmrnn
