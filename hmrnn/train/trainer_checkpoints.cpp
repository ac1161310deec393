// Saving and loading of the trainer: models, and the state that a resume needs.

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "hmrnn/error.h"
#include "hmrnn/io/checkpoint.h"
#include "hmrnn/io/json_text.h"
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
    const auto record = parse_json(line);
    if (record.is_object() && text_or_empty(record, "event") == "eval" && record.contains("step") &&
        record["step"] == step) {
      return true;
    }
  }
  return false;
}

}  // namespace

void Trainer::resume() {
  folder_.require_state();
  lead([&] { lock(); });
  const auto where = folder_.last_state().string();
  const auto file = read_safetensors(folder_.last_state());
  const auto state = TrainerState::parse(file, where);
  require_finite_state(file, where);  // before anything is overwritten
  // A run that ended after too many skipped updates gets the full number of tries again.
  unpack_state(file, where, state.skipped_total,
               state.skipped_in_row < options_.max_skipped ? state.skipped_in_row : 0);
  go_on_from(state);
  best_loss_ = state.best_loss;
  best_ema_loss_ = state.best_ema_loss;
  best_step_ = state.best_step;
  elapsed_before_ = state.elapsed_seconds;
  recovered_ = state.recovered;
  recovered_from_ = state.recovered_from;
  const bool whole = holds_in_all(last_save_is_whole());
  lead([&] {
    folder_.create(averaged_.has_value());
    folder_.drop_unfinished_copies();
    metrics_ = std::make_unique<MetricsWriter>(folder_.metrics(), step_);
    std::error_code unknown;
    if (recovered_ && std::filesystem::exists(folder_.recovery_state(), unknown)) complete_return();
    // Without `recover` no state is kept to return to, and this one would soon be far behind.
    if (!options_.recover) folder_.drop_recovery_state();
    metrics_->write({{"event", "resume"}, {"step", step_}});
    evaluation_recorded_ = evaluated_step_ != step_ && has_evaluation(folder_.metrics(), step_);
  });
  saved_step_ = whole ? step_ : -1;
  ready_ = true;
  // Last, since the code above may draw random numbers.
  load_generators(file, where);
}

bool Trainer::last_save_is_whole() const {
  if (options_.keep > 0 && !folder_.is_kept(step_)) return false;
  try {
    const auto file = read_safetensors(folder_.last_model());
    const auto found = file.metadata.find("hmrnn");
    const auto description = parse_json(found == file.metadata.end() ? "" : found->second);
    return description.is_object() && description.contains("step") && description["step"] == step_;
  } catch (const Error&) {
    return false;  // not there, or not readable: it is written anew
  }
}

void Trainer::go_on_from(const TrainerState& state) {
  step_ = state.step;
  evaluated_step_ = state.evaluated_step;
  schedule_.set_state(state.schedule);
  train_seconds_ = state.record_seconds;
  slope_ = state.slope;
  task_.set_slope(slope_);
}

void Trainer::save() {
  if (saved_step_ == step_) return;
  require_finite_weights();
  store();
}

void Trainer::store() {
  saved_at_ = Clock::now();
  auto file = pack_state();
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
  state.recovered = recovered_;
  state.recovered_from = recovered_from_;
  state.store(file, nlohmann::ordered_json::parse(run_settings_));
  lead([&] {
    metrics_->sync();  // no state on disk may be ahead of its records
    // The state first: if the process dies between the two writes, even a run in a new folder can be resumed.
    write_safetensors(folder_.last_state(), file);
    save_model(folder_.last_model(), std::nullopt);
  });
  saved_step_ = step_;
  if (options_.keep > 0) lead([&] { folder_.keep(step_, options_.keep); });
}

void Trainer::try_save() {
  if (saved_step_ == step_) return;
  require_finite_weights();
  try {
    store();
  } catch (const Error& error) {
    progress_.message(fmt::format("step {}: {}: {}; training goes on", step_,
                                  saved_step_ == step_ ? "saved, but" : "not saved", error.what()));
  }
}

SafeTensors Trainer::pack_state() const {
  wait_for_sums();
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
  saved_step_ = -1;  // a save of this step lacks them
}

void Trainer::require_finite_weights() const {
  wait_for_sums();
  for (const auto& item : task_.module().named_parameters()) {
    if (!torch::isfinite(item.value()).all().item<bool>()) {
      throw Error(fmt::format("step {}: {} has values that are not finite, so it is not saved; {} is as it was", step_,
                              item.key(), (folder_.path() / "last").string()));
    }
  }
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
