#include "hmrnn/train/trainer.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "hmrnn/error.h"
#include "hmrnn/io/checkpoint.h"
#include "hmrnn/io/json_text.h"
#include "hmrnn/run/metrics.h"
#include "hmrnn/run/random_state.h"
#include "hmrnn/train/trainer_state.h"

namespace hmrnn {

namespace {

std::vector<std::pair<std::string, torch::Tensor>> named_parameters(torch::nn::Module& module) {
  std::vector<std::pair<std::string, torch::Tensor>> out;
  for (const auto& item : module.named_parameters()) out.emplace_back(item.key(), item.value());
  return out;
}

/// Whether `path` has a record of an evaluation at `step`.
bool has_evaluation(const std::filesystem::path& path, int64_t step) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto record = parse_json(line);
    if (record.is_object() && record.value("event", "") == "eval" && record.value("step", int64_t{-1}) == step) {
      return true;
    }
  }
  return false;
}

}  // namespace

Trainer::Trainer(TrainingTask& task, const TrainerOptions& options, RunFolder folder, Progress& progress,
                 const std::string& run_settings, std::function<bool()> stop)
    : task_(task),
      options_(options),
      folder_(std::move(folder)),
      progress_(progress),
      run_settings_(run_settings),
      stop_(std::move(stop)),
      optimizer_(named_parameters(task.module()), {.clip = options.clip}),
      schedule_(options.learning_rate, options.patience),
      sums_(task.layers(), task.device()),
      runner_([this] { compute_window(); }),
      start_(Clock::now()) {
  TORCH_CHECK(options_.log_every >= 1 && options_.checkpoint_every >= 1 && options_.eval_every >= 0,
              "Trainer: log_every and checkpoint_every must be at least 1, eval_every at least 0");
  TORCH_CHECK(nlohmann::json::parse(run_settings_, nullptr, /*allow_exceptions=*/false).is_object(),
              "Trainer: run_settings must be the text of a JSON object");
  if (options_.cuda_graph && task_.device().is_cuda()) runner_.set_graph(make_window_graph(task_.device()));
  slope_ = annealed_slope(options_.slope_rate, options_.slope_max, 0);
  task_.set_slope(slope_);
}

Trainer::~Trainer() = default;

void Trainer::start() {
  folder_.require_absent();
  folder_.create();
  lock_ = std::make_unique<RunLock>(folder_.path());
  folder_.require_absent();  // another process may have made its run here since
  metrics_ = std::make_unique<MetricsWriter>(folder_.metrics());
  save();
}

void Trainer::resume() {
  folder_.require_state();
  lock_ = std::make_unique<RunLock>(folder_.path());
  const auto where = folder_.last_state().string();
  const auto file = read_safetensors(folder_.last_state());
  const auto state = TrainerState::parse(file, where);
  require_finite_state(file, where);  // before anything is overwritten
  load_parameters(task_.module(), file, where);
  optimizer_.load(file, where);
  task_.load_state(file, where);
  // A run that gave up gets as many tries again.
  sums_.load(file, where, state.skipped_total, state.skipped_in_row < options_.max_skipped ? state.skipped_in_row : 0);
  step_ = state.step;
  evaluated_step_ = state.evaluated_step;
  schedule_.set_state(state.schedule);
  best_loss_ = state.best_loss;
  best_step_ = state.best_step;
  elapsed_before_ = state.elapsed_seconds;
  train_seconds_ = state.record_seconds;
  slope_ = state.slope;
  task_.set_slope(slope_);
  folder_.create();
  metrics_ = std::make_unique<MetricsWriter>(folder_.metrics(), step_);
  evaluation_recorded_ = evaluated_step_ != step_ && has_evaluation(folder_.metrics(), step_);
  saved_step_ = step_;
  // Last: nothing that comes before may draw from the generators afterwards.
  load_random_state(file, task_.device(), where);
}

StopReason Trainer::run() {
  TORCH_CHECK(metrics_, "Trainer: call start() or resume() before run()");
  start_ = Clock::now();
  const GraphStream stream(runner_.graph());
  const auto interrupted = [this] {
    save();
    return StopReason::Signal;
  };
  for (;;) {
    if (evaluation_due() && !evaluate(/*scheduled=*/true)) return interrupted();
    if (stopped()) return interrupted();
    if (const auto reason = limit_reached()) {
      // Does not enter the schedule: a run that is taken up again must go on as if it had not ended here.
      if (evaluated_step_ != step_ && !evaluate(/*scheduled=*/false)) return interrupted();
      save();
      return *reason;
    }
    if (save_requested_ && save_requested_()) {
      save();
      progress_.message(fmt::format("step {}: saved", step_));
    }
    if (step_ % options_.checkpoint_every == 0) save();
    train_step();
  }
}

void Trainer::train_step() {
  step_start_ = Clock::now();
  const double slope = annealed_slope(options_.slope_rate, options_.slope_max, epoch());
  if (slope != slope_) task_.set_slope(slope_ = slope);
  if (schedule_.learning_rate() != learning_rate_) {
    optimizer_.set_learning_rate(learning_rate_ = schedule_.learning_rate());
  }

  const auto window = task_.load(epoch(), step_ % task_.windows());
  sums_.expect(window.count, window.positions);
  runner_.run(window.layout);
  ++step_;
  ++steps_here_;
  task_.prefetch(epoch(), step_ % task_.windows());

  const bool due = step_ % options_.log_every == 0;
  if (due) record();
  const bool refresh = !due && progress_.wants_refresh();
  if (refresh) {
    const auto means = sums_.means();
    progress_.show(progress_line(means, per_second(means.targets)), /*recorded=*/false);
  }
  train_seconds_ += std::chrono::duration<double>(Clock::now() - step_start_).count();
  if (due) train_seconds_ = 0;

  // Reading this waits for the device, so a GPU is asked only when it has been read anyway.
  if ((due || task_.device().is_cpu()) && sums_.skipped_in_row() >= static_cast<double>(options_.max_skipped)) {
    save();
    throw Error(
        fmt::format("{} updates in a row up to step {} were skipped: loss or gradient is not finite (the weights "
                    "from before are in {})",
                    options_.max_skipped, step_, folder_.last_model().string()));
  }
}

void Trainer::compute_window() {
  const auto window = task_.forward();
  window.loss.backward();
  const auto report = optimizer_.step(window.loss);
  task_.settle(report.skipped);
  sums_.add(window.loss, window.updates, report);
}

double Trainer::per_second(double targets) const {
  if (targets <= 0) return std::numeric_limits<double>::quiet_NaN();
  return targets / (train_seconds_ + std::chrono::duration<double>(Clock::now() - step_start_).count());
}

void Trainer::record() {
  const auto m = sums_.means();  // waits for the device, so the time is taken after it
  const double speed = per_second(m.targets);
  sums_.clear();
  nlohmann::ordered_json record = {{"event", "train"}, {"step", step_}, {"epoch", epoch()}, {"loss", m.loss}};
  for (const auto& [name, value] : task_.measures(m.loss, /*validation=*/false)) record[name] = value;
  record["grad_norm"] = m.gradient_norm;
  record["lr"] = schedule_.learning_rate();
  record["slope"] = slope_;
  record["updates"] = m.updates;
  record[task_.unit() + "_per_second"] = speed;
  if (m.skipped > 0) record["skipped_updates"] = m.skipped;
  metrics_->write(record);
  if (m.skipped > 0) {
    progress_.message(fmt::format("step {}: {} of the last {} updates skipped, loss or gradient was not finite", step_,
                                  m.skipped, options_.log_every));
  }
  progress_.show(progress_line(m, speed), /*recorded=*/true);
}

bool Trainer::evaluate(bool scheduled) {
  const auto result = task_.evaluate([this] { return stopped(); });
  if (!result) return false;
  evaluated_step_ = step_;
  saved_step_ = -1;  // what was saved for this step does not know the result
  if (!evaluation_recorded_) {
    nlohmann::ordered_json record = {{"event", "eval"}, {"step", step_}, {"epoch", epoch()}, {"loss", result->loss}};
    for (const auto& [name, value] : task_.measures(result->loss, /*validation=*/true)) record[name] = value;
    record["grad_norm"] = nullptr;  // an evaluation has none
    record["lr"] = schedule_.learning_rate();
    record["slope"] = slope_;
    record["updates"] = result->updates;
    record[task_.unit() + "_per_second"] =
        result->seconds > 0 ? static_cast<double>(result->count) / result->seconds : 0.0;
    metrics_->write(record);
  }
  evaluation_recorded_ = false;
  const bool best = std::isfinite(result->loss) && (!best_loss_ || result->loss < *best_loss_);
  progress_.message(
      fmt::format("step {}  validation {}{}", step_, task_.loss_text(result->loss), best ? "  (best)" : ""));
  if (best) {
    require_finite_weights();
    best_loss_ = result->loss;
    best_step_ = step_;
    save_model(folder_.best_model(), result->loss);
  }
  if (scheduled && schedule_.update(result->loss)) {
    progress_.message(fmt::format("learning rate divided by 50: {:.3g}", schedule_.learning_rate()));
  }
  return true;
}

void Trainer::save() {
  if (saved_step_ == step_) return;
  require_finite_weights();
  metrics_->sync();  // no state on disk may be ahead of its records
  auto file = pack_parameters(task_.module());
  optimizer_.save(file);
  task_.save_state(file);
  sums_.save(file);
  save_random_state(file, task_.device());
  TrainerState state;
  state.step = step_;
  state.evaluated_step = evaluated_step_;
  state.schedule = schedule_.state();
  state.best_loss = best_loss_;
  state.best_step = best_step_;
  state.elapsed_seconds = elapsed();
  state.record_seconds = train_seconds_;
  state.skipped_total = sums_.skipped_total();
  state.skipped_in_row = sums_.skipped_in_row();
  state.slope = slope_;
  state.store(file, nlohmann::ordered_json::parse(run_settings_));
  // First: a death between the two must leave something to resume, in a new folder too.
  write_safetensors(folder_.last_state(), file);
  save_model(folder_.last_model(), std::nullopt);
  saved_step_ = step_;
}

void Trainer::require_finite_weights() const {
  for (const auto& [name, parameter] : named_parameters(task_.module())) {
    if (!torch::isfinite(parameter).all().item<bool>()) {
      throw Error(fmt::format("step {}: {} has values that are not finite, so it is not saved; {} is as it was", step_,
                              name, (folder_.path() / "last").string()));
    }
  }
}

void Trainer::save_model(const std::filesystem::path& path, std::optional<double> validation_loss) {
  auto file = pack_module(task_.module(), /*buffers=*/false);
  auto description = nlohmann::ordered_json::parse(task_.describe());
  description["step"] = step_;
  description["epoch"] = epoch();
  if (validation_loss) description["validation_loss"] = *validation_loss;
  file.metadata["hmrnn"] = description.dump();
  write_safetensors(path, file);
}

bool Trainer::evaluation_due() const {
  return step_ > 0 && evaluated_step_ != step_ &&
         step_ % (options_.eval_every > 0 ? options_.eval_every : task_.windows()) == 0;
}

std::optional<StopReason> Trainer::limit_reached() const {
  if (options_.steps > 0 && step_ >= options_.steps) return StopReason::Steps;
  if (options_.epochs > 0 && epoch() >= options_.epochs) return StopReason::Epochs;
  if (options_.minutes > 0 && elapsed() >= options_.minutes * 60) return StopReason::Minutes;
  const bool unlimited = options_.steps <= 0 && options_.epochs <= 0 && options_.minutes <= 0;
  if (unlimited && schedule_.exhausted()) return StopReason::Converged;
  return std::nullopt;
}

double Trainer::elapsed() const {
  return elapsed_before_ + std::chrono::duration<double>(Clock::now() - start_).count();
}

double Trainer::seconds_left() const {
  double left = std::numeric_limits<double>::infinity();
  const double each = (elapsed() - elapsed_before_) / static_cast<double>(std::max<int64_t>(steps_here_, 1));
  if (options_.steps > 0) left = std::min(left, each * static_cast<double>(options_.steps - step_));
  if (options_.epochs > 0) {
    left = std::min(left, each * (static_cast<double>(options_.epochs) * static_cast<double>(task_.windows()) -
                                  static_cast<double>(step_)));
  }
  if (options_.minutes > 0) left = std::min(left, options_.minutes * 60 - elapsed());
  return std::isfinite(left) ? std::max(left, 0.0) : -1;
}

ProgressLine Trainer::progress_line(const RunningSums::Means& m, double per_second) const {
  ProgressLine line;
  line.step = step_;
  line.epoch = static_cast<double>(step_) / static_cast<double>(task_.windows());
  line.loss = task_.loss_text(m.loss);
  line.gradient_norm = m.gradient_norm;
  line.learning_rate = schedule_.learning_rate();
  line.slope = slope_;
  line.updates = m.updates;
  line.per_second = per_second;
  line.unit = task_.unit();
  line.seconds_left = seconds_left();
  return line;
}

int64_t Trainer::skipped() const { return static_cast<int64_t>(sums_.skipped_total()); }

std::string Trainer::read_run_settings(const RunFolder& folder) {
  folder.require_state();
  const auto where = folder.last_state().string();
  return TrainerState::run_settings(read_safetensors(folder.last_state()), where).dump();
}

}  // namespace hmrnn
