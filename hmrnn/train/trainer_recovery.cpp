// Consecutive updates that are skipped: the trainer returns to a checkpoint once, then ends the run.

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "hmrnn/error.h"
#include "hmrnn/run/metrics.h"
#include "hmrnn/train/trainer.h"
#include "hmrnn/train/trainer_state.h"

namespace hmrnn {

void Trainer::keep_for_recovery() {
  // Whether the state of the previous step was saved, at a multiple of checkpoint_every: a save on a signal or by time
  // would make the run depend on more than its steps.
  const bool is_saved = saved_step_ == step_ - 1 && saved_step_ % options_.checkpoint_every == 0;
  if (!is_saved) return;
  wait_for_sums();
  // If the first update after a save is skipped, it would be skipped after a return to that save too.
  if (sums_.skipped_in_row() > 0) return;
  try {
    lead([&] { folder_.keep_recovery_state(); });
  } catch (const Error& error) {
    progress_.message(
        fmt::format("step {}: {}; training goes on, without a later state to go back to", step_, error.what()));
  }
}

void Trainer::recover_or_give_up() {
  if (options_.recover && !recovered_ && return_to_checkpoint()) return;
  save();
  throw Error(fmt::format("{} updates in a row up to step {} were skipped{}: {} (the weights from before are in {})",
                          options_.max_skipped, step_, recovered_ ? ", at half the learning rate too" : "",
                          reason_to_skip(), folder_.last_model().string()));
}

std::string Trainer::reason_to_skip() const {
  const double most = options_.optimizer.skip_norm;
  return most > 0 ? fmt::format("loss or gradient is not finite, or the gradient's norm is above {:g}", most)
                  : "loss or gradient is not finite";
}

bool Trainer::return_to_checkpoint() {
  const auto where = folder_.recovery_state().string();
  const auto from = step_;
  SafeTensors file;
  TrainerState state;
  // Whether there is a state, of an earlier step: a run may have been resumed from one before it.
  const auto can_go_back = [&] {
    std::error_code unknown;
    if (!std::filesystem::exists(folder_.recovery_state(), unknown)) return false;
    try {
      file = read_safetensors(folder_.recovery_state());
      state = TrainerState::parse(file, where);
      require_finite_state(file, where);
    } catch (const Error& error) {
      progress_.message(fmt::format("step {}: {}; there is no state to go back to", step_, error.what()));
      return false;
    }
    return state.step < from;
  };
  if (!holds_in_all(can_go_back())) return false;  // before anything is overwritten, in any process

  unpack_state(file, where, sums_.skipped_total(), /*skipped_in_row=*/0);
  go_on_from(state);
  recovered_ = true;
  recovered_from_ = from;
  evaluation_recorded_ = false;
  runner_.forget();
  update_runner_.forget();
  load_generators(file, where);
  // The state is saved before the records are removed: a resume in between removes them itself.
  saved_step_ = -1;
  save();
  lead([&] {
    metrics_.reset();
    metrics_ = std::make_unique<MetricsWriter>(folder_.metrics(), step_);
    complete_return();
  });
  progress_.message(fmt::format("step {}: {} updates in a row were skipped, {}; back to step {}, learning rate {:.3g}",
                                from, options_.max_skipped, reason_to_skip(), step_, learning_rate(step_)));
  return true;
}

void Trainer::complete_return() {
  write_record(MetricsWriter::line_of(
      {{"event", "recover"}, {"step", step_}, {"from", recovered_from_}, {"lr", learning_rate(step_)}}));
  try {
    folder_.drop_kept_beyond(step_);
  } catch (const Error& error) {
    progress_.message(fmt::format("step {}: {}; training goes on", step_, error.what()));
  }
  folder_.drop_recovery_state();
}

}  // namespace hmrnn
