// What the trainer stores and reads again: models, and the state that a resume needs.

#include <fstream>
#include <nlohmann/json.hpp>

#include "hmrnn/io/checkpoint.h"
#include "hmrnn/run/metrics.h"
#include "hmrnn/run/random_state.h"
#include "hmrnn/train/trainer.h"
#include "hmrnn/train/trainer_state.h"

namespace hmrnn {

namespace {

/// Whether `path` has a record of an evaluation at `step`.
bool has_evaluation(const std::filesystem::path& path, int64_t step) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_object() && record.value("event", "") == "eval" && record.value("step", int64_t{-1}) == step) {
      return true;
    }
  }
  return false;
}

}  // namespace

void Trainer::resume() {
  folder_.require_state();
  if (leads()) lock_ = std::make_unique<RunLock>(folder_.path());
  const auto where = folder_.last_state().string();
  const auto file = read_safetensors(folder_.last_state());
  const auto state = TrainerState::parse(file, where);
  // A run that gave up gets as many tries again.
  unpack_state(file, where, state.skipped_total,
               state.skipped_in_row < options_.max_skipped ? state.skipped_in_row : 0);
  step_ = state.step;
  evaluated_step_ = state.evaluated_step;
  schedule_.set_state(state.schedule);
  best_loss_ = state.best_loss;
  best_ema_loss_ = state.best_ema_loss;
  best_step_ = state.best_step;
  elapsed_before_ = state.elapsed_seconds;
  train_seconds_ = state.record_seconds;
  slope_ = state.slope;
  task_.set_slope(slope_);
  if (leads()) {
    folder_.create(averaged_.has_value());
    metrics_ = std::make_unique<MetricsWriter>(folder_.metrics(), step_);
    evaluation_recorded_ = evaluated_step_ != step_ && has_evaluation(folder_.metrics(), step_);
  }
  saved_step_ = step_;
  // Last: nothing that comes before may draw from the generators afterwards.
  load_generators(file, where);
}

void Trainer::save() {
  if (saved_step_ == step_) return;
  auto file = pack_state();
  if (!leads()) {
    saved_step_ = step_;
    return;
  }
  metrics_->sync();  // no state on disk may be ahead of its records
  save_model(folder_.last_model(), std::nullopt);

  TrainerState state;
  state.step = step_;
  state.evaluated_step = evaluated_step_;
  state.schedule = schedule_.state();
  state.best_loss = best_loss_;
  state.best_ema_loss = best_ema_loss_;
  state.best_step = best_step_;
  state.elapsed_seconds = elapsed();
  state.record_seconds = train_seconds_;
  state.skipped_total = sums_.skipped_total();
  state.skipped_in_row = sums_.skipped_in_row();
  state.slope = slope_;
  state.store(file, nlohmann::ordered_json::parse(run_settings_));
  write_safetensors(folder_.last_state(), file);
  saved_step_ = step_;
}

SafeTensors Trainer::pack_state() const {
  auto file = pack_parameters(task_.module());
  optimizer_.save(file);
  if (averaged_) averaged_->save(file);
  SafeTensors state;
  task_.save_state(state);
  sums_.save(state);
  save_random_state(state, task_.device());
  if (options_.group) gather_state(state);
  for (auto& tensor : state.tensors) file.tensors.push_back(std::move(tensor));
  return file;
}

void Trainer::unpack_state(const SafeTensors& file, const std::string& where, double skipped_total,
                           double skipped_in_row) {
  load_parameters(task_.module(), file, where);
  optimizer_.load(file, where);
  if (averaged_) averaged_->load(file, where);
  task_.load_state(options_.group ? own_rows(file) : file, where);
  sums_.load(file, where, skipped_total, skipped_in_row);
}

void Trainer::set_run_settings(const std::string& run_settings) {
  run_settings_ = run_settings;
  saved_step_ = -1;  // what was saved for this step does not know them
}

void Trainer::save_model(const std::filesystem::path& path, std::optional<double> validation_loss) {
  if (!leads()) return;
  auto file = pack_module(task_.module(), /*buffers=*/false);
  auto description = nlohmann::ordered_json::parse(task_.describe());
  description["step"] = step_;
  description["epoch"] = epoch();
  if (validation_loss) description["validation_loss"] = *validation_loss;
  file.metadata["hmrnn"] = description.dump();
  write_safetensors(path, file);
}

std::string Trainer::read_run_settings(const RunFolder& folder) {
  folder.require_state();
  const auto where = folder.last_state().string();
  return TrainerState::run_settings(read_safetensors(folder.last_state()), where).dump();
}

}  // namespace hmrnn
