#include "hmrnn/train/trainer.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>

#include "hmrnn/error.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/run/metrics.h"
#include "hmrnn/run/random_state.h"
#include "hmrnn/train/flush_subnormals.h"

namespace hmrnn {

namespace {

/// The parameters, each once: modules may share a weight.
std::vector<std::pair<std::string, torch::Tensor>> named_parameters(torch::nn::Module& module) {
  std::vector<std::pair<std::string, torch::Tensor>> out;
  for (const auto& item : module.named_parameters()) {
    const auto is_this = [&](const auto& named) { return named.second.is_same(item.value()); };
    if (std::none_of(out.begin(), out.end(), is_this)) out.emplace_back(item.key(), item.value());
  }
  return out;
}

/// The schedule with the trainer's highest rate; the limits determine the length of a cosine.
LearningRateOptions schedule_of(const TrainerOptions& options, int64_t windows) {
  auto out = options.schedule;
  out.rate = options.learning_rate;
  if (out.kind == ScheduleKind::Cosine && out.length == 0) {
    constexpr auto kMost = std::numeric_limits<int64_t>::max();
    out.length = options.epochs == 0                ? options.steps
                 : options.epochs > kMost / windows ? kMost
                                                    : options.epochs * windows;
    if (options.steps > 0) out.length = std::min(out.length, options.steps);
    if (out.length == 0) throw Error("a cosine schedule needs an end: give a number of steps or epochs");
  }
  return out;
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
      optimizer_(named_parameters(task.module()), options.optimizer),
      schedule_(schedule_of(options, task.windows())),
      sums_(task.layers(), task.device()),
      runner_([this] { compute_window(); }),
      update_runner_([this] { update_from_bucket(); }),
      start_(Clock::now()) {
  TORCH_CHECK(options_.log_every >= 1 && options_.checkpoint_every >= 1 && options_.eval_every >= 0,
              "Trainer: log_every and checkpoint_every must be at least 1, eval_every at least 0");
  TORCH_CHECK(nlohmann::json::parse(run_settings_, nullptr, /*allow_exceptions=*/false).is_object(),
              "Trainer: run_settings must be the text of a JSON object");
  if (options_.ema > 0) averaged_.emplace(named_parameters(task.module()), options_.ema);
  if (options_.cuda_graph && task_.device().is_cuda()) {
    runner_.set_graph(make_window_graph(task_.device()));
    if (options_.group) update_runner_.set_graph(make_window_graph(task_.device(), runner_.graph()->stream()));
  }
  for (auto* runner : {&runner_, &update_runner_}) runner->set_before_capture([this] { wait_for_sums(); });
  slope_ = annealed_slope(options_.slope_rate, options_.slope_max, 0);
  task_.set_slope(slope_);
}

Trainer::~Trainer() = default;

void Trainer::start(const std::function<void()>& claimed) {
  lead([&] {
    folder_.require_absent();
    folder_.create(averaged_.has_value());
    lock();
    folder_.drop_recovery_state();  // of another run
    folder_.require_absent();       // another process may have started a run here before the lock was taken
    metrics_ = std::make_unique<MetricsWriter>(folder_.metrics());
    if (claimed) claimed();
  });
  if (options_.group) {
    agree_on_start();
    if (averaged_) averaged_.emplace(named_parameters(task_.module()), options_.ema);  // starts from the common weights
  }
  ready_ = true;
  save();
}

StopReason Trainer::run() {
  TORCH_CHECK(ready_, "Trainer: call start() or resume() before run()");
  start_ = saved_at_ = Clock::now();
  watch_gradients_ = task_.device().is_cpu() && runner_.graph() == nullptr;
  watch_means_ = !watch_gradients_;
  std::optional<FlushSubnormals> flush(std::in_place);
  if (options_.group) agree();
  const GraphStream stream(runner_.graph());
  const auto interrupted = [this] {
    save();
    return StopReason::Signal;
  };
  for (;;) {
    if (evaluation_due() && !evaluate_or_save(/*scheduled=*/true)) return interrupted();
    if (stopped()) return interrupted();
    if (const auto reason = limit_reached()) {
      // Not part of the schedule, since a resumed run must continue as if it had not ended here.
      if (evaluated_step_ != step_ && !evaluate_or_save(/*scheduled=*/false)) return interrupted();
      save();
      if (!unsaved_best_.empty()) {
        const auto& [path, why] = *unsaved_best_.begin();
        throw Error(fmt::format("the run ended at step {} without {}: {}", step_, path.string(), why));
      }
      return *reason;
    }
    if (save_asked_for()) {
      try_save();
      if (saved_step_ == step_) progress_.message(fmt::format("step {}: saved", step_));
    }
    if (step_ % options_.checkpoint_every == 0 || save_is_late()) try_save();
    train_step();
    if (!after_step_) continue;
    const int threads = at::get_num_threads();
    after_step_(step_seconds_, step_targets_);
    if (at::get_num_threads() != threads) flush.emplace();  // for the new threads
  }
}

void Trainer::train_step() {
  step_start_ = Clock::now();
  const double slope = annealed_slope(options_.slope_rate, options_.slope_max, epoch());
  if (slope != slope_) task_.set_slope(slope_ = slope);
  if (const double rate = learning_rate(step_); rate != learning_rate_) {
    optimizer_.set_learning_rate(learning_rate_ = rate);
  }

  window_ = task_.load(epoch(), step_ % task_.windows());
  if (!options_.group) sums_.expect(window_.count, window_.positions);
  runner_.run(window_.layout);
  if (options_.group) {
    sum_bucket();
    update_runner_.run(window_.layout);
  }
  ++step_;
  ++steps_here_;
  evaluation_recorded_ = false;  // it was for the step before
  if (watch_gradients_) report_large_gradient();
  task_.prefetch(epoch(), step_ % task_.windows());

  const bool due = step_ % options_.log_every == 0;
  if (due) record();
  const bool refresh = !due && progress_.wants_refresh();
  if (refresh) {
    wait_for_sums();
    const auto means = sums_.means();
    progress_.show(progress_line(means, per_second(means.targets)), /*recorded=*/false);
  }
  step_seconds_ = std::chrono::duration<double>(Clock::now() - step_start_).count();
  step_targets_ = static_cast<double>(window_.count);
  train_seconds_ += step_seconds_;
  if (due) train_seconds_ = 0;

  if (options_.recover && !recovered_) keep_for_recovery();
  // Reading this waits for the device, so on a GPU only when a record has waited anyway.
  if ((due || task_.device().is_cpu()) && sums_.skipped_in_row() >= static_cast<double>(options_.max_skipped)) {
    recover_or_give_up();
  }
}

void Trainer::compute_window() {
  const auto window = task_.forward();
  if (window.loss.defined()) (window.penalty.defined() ? window.loss + window.penalty : window.loss).backward();
  if (options_.group) {
    fill_bucket(window);
  } else {
    update(window);
  }
}

void Trainer::update(const WindowLoss& window) {
  const auto report = optimizer_.step(window.loss);
  if (watch_gradients_) last_update_ = report;
  task_.constrain();
  if (averaged_) averaged_->update(report.skipped);
  task_.settle(report.not_finite);
  sums_.add(window.loss, window.updates, report);
}

bool Trainer::evaluate_or_save(bool scheduled) {
  const auto evaluated = evaluated_step_;
  try {
    return evaluate(scheduled);
  } catch (...) {  // for example for lack of memory
    if (evaluated_step_ != evaluated) {
      evaluated_step_ = evaluated;  // a resume evaluates again
      saved_step_ = -1;
    }
    if (!options_.group) {  // other processes would not take part in the save
      try {
        save();
      } catch (...) {  // the first error is the one to report
      }
    }
    throw;
  }
}

bool Trainer::evaluate(bool scheduled) {
  wait_for_sums();
  const auto result = evaluate_task();
  if (!result) return false;
  std::optional<Evaluation> averaged;
  if (averaged_) {
    const AveragedWeights::InPlace weights(*averaged_);
    if (!(averaged = evaluate_task())) return false;
    save_if_best(folder_.best_ema_model(), averaged->loss, best_ema_loss_, "averaged weights: validation");
  }
  evaluated_step_ = step_;
  saved_step_ = -1;  // a save of this step lacks the result
  if (!evaluation_recorded_ && leads()) record_evaluation(*result, averaged);
  evaluation_recorded_ = false;
  if (save_if_best(folder_.best_model(), result->loss, best_loss_, "validation")) best_step_ = step_;
  if (scheduled && schedule_.update(result->loss)) {
    progress_.message(
        fmt::format("learning rate divided by {:g}: {:.3g}", schedule_.options().divisor, learning_rate(step_)));
  }
  return true;
}

void Trainer::lock() {
  lock_ = std::make_unique<RunLock>(folder_.path());
  if (lock_->failure() == 0) return;
  progress_.message(fmt::format("{}: the folder cannot be locked ({}): nothing keeps another process out of this run",
                                folder_.path().string(), std::generic_category().message(lock_->failure())));
}

bool Trainer::last_save_is_old() const {
  return options_.checkpoint_minutes > 0 &&
         std::chrono::duration<double>(Clock::now() - saved_at_).count() >= 60 * options_.checkpoint_minutes;
}

std::optional<Evaluation> Trainer::evaluate_task() {
  const auto own = task_.evaluate([this] { return asked_to_stop(); });
  return options_.group ? share_evaluation(own) : own;
}

Trainer::WindowTimes Trainer::time_windows(int64_t untimed, int64_t timed, double budget) {
  TORCH_CHECK(ready_, "Trainer: call start() or resume() before time_windows()");
  TORCH_CHECK(untimed >= 0 && timed >= 1, "Trainer: at least one window is timed");
  TORCH_CHECK(!options_.group, "Trainer: windows are timed by one process alone");
  const FlushSubnormals flush;
  auto before = pack_state();
  for (auto& [name, tensor] : before.tensors) tensor = tensor.clone();
  const double skipped_total = sums_.skipped_total(), skipped_in_row = sums_.skipped_in_row();
  int64_t at = step_, count = 0;
  const auto run = [&] {
    const auto window = task_.load(at / task_.windows(), at % task_.windows());
    sums_.expect(window.count, window.positions);
    runner_.run(window.layout);
    ++at;
    task_.prefetch(at / task_.windows(), at % task_.windows());
  };
  const auto wait_for_loss = [this] { return sums_.means().loss; };  // waits for the device
  sums_.clear();
  WindowTimes out{};
  {
    const GraphStream stream(runner_.graph());
    runner_.forget();  // the current settings must be captured anew
    for (int64_t i = 0; i < untimed; ++i) run();
    out.loss = wait_for_loss();
    const auto begin = Clock::now();
    const auto passed = [&begin] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
    do {
      run();
    } while (++count < timed && passed() < budget);
    wait_for_loss();
    out.seconds = passed() / static_cast<double>(count);
  }
  runner_.forget();
  const std::string where = "time_windows";
  unpack_state(before, where, skipped_total, skipped_in_row);
  load_random_state(before, task_.device(), where);
  return out;
}

bool Trainer::evaluation_due() const {
  return step_ > 0 && evaluated_step_ != step_ &&
         step_ % (options_.eval_every > 0 ? options_.eval_every : task_.windows()) == 0;
}

std::optional<StopReason> Trainer::limit_reached() const {
  if (options_.steps > 0 && step_ >= options_.steps) return StopReason::Steps;
  if (options_.epochs > 0 && epoch() >= options_.epochs) return StopReason::Epochs;
  if (out_of_time()) return StopReason::Minutes;
  const bool unlimited = options_.steps <= 0 && options_.epochs <= 0 && options_.minutes <= 0;
  if (unlimited && schedule_.exhausted()) return StopReason::Converged;
  return std::nullopt;
}

double Trainer::elapsed() const {
  return elapsed_before_ + std::chrono::duration<double>(Clock::now() - start_).count();
}

int64_t Trainer::skipped() const { return static_cast<int64_t>(sums_.skipped_total()); }

}  // namespace hmrnn
