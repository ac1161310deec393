// Output of the trainer: records of steps and evaluations, and the progress line.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "hmrnn/error.h"
#include "hmrnn/run/metrics.h"
#include "hmrnn/train/trainer.h"

namespace hmrnn {

namespace {

constexpr double kLargeGradient = 1e4;

}  // namespace

double Trainer::per_second(double targets) const {
  if (targets <= 0) return std::numeric_limits<double>::quiet_NaN();
  return targets / (train_seconds_ + std::chrono::duration<double>(Clock::now() - step_start_).count());
}

void Trainer::write_record(const std::string& record) {
  if (!leads()) return;
  try {
    metrics_->write_line(record);
    records_pending_ = false;
  } catch (const Error& error) {
    if (records_pending_) return;
    records_pending_ = true;
    progress_.message(
        fmt::format("step {}: {}; training goes on, records are kept and written later", step_, error.what()));
  }
}

void Trainer::report_large_gradient() {
  const double norm = last_update_.norm.item<double>();
  if (!(norm > kLargeGradient) || !std::isfinite(norm)) return;
  watch_gradients_ = false;
  const auto& greatest = optimizer_.names()[static_cast<size_t>(last_update_.norms.argmax().item<int64_t>())];
  progress_.message(fmt::format("step {}: the gradient's norm is {:.2g}, most of it of {}; {}", step_, norm, greatest,
                                last_update_.skipped.item<float>() != 0 ? "the update is skipped"
                                : options_.optimizer.clip > 0
                                    ? fmt::format("it is clipped to {:g}", options_.optimizer.clip)
                                    : "nothing clips it"));
}

void Trainer::report_large_gradients(double mean) {
  if (!(mean > kLargeGradient) || !std::isfinite(mean)) return;
  watch_means_ = false;
  progress_.message(
      fmt::format("step {}: the gradients since the last record have a mean norm of {:.2g}", step_, mean));
}

void Trainer::record() {
  wait_for_sums();
  const auto m = sums_.means();  // waits for the device, so the time is read afterwards
  const double speed = per_second(m.targets);
  sums_.clear();
  if (!leads()) return;
  nlohmann::ordered_json record = {{"event", "train"}, {"step", step_}, {"epoch", epoch()}, {"loss", m.loss}};
  for (const auto& [name, value] : task_.measures(m.loss, /*validation=*/false)) record[name] = value;
  record["grad_norm"] = m.gradient_norm;
  if (watch_means_) report_large_gradients(m.gradient_norm);
  record["lr"] = last_learning_rate();
  record["slope"] = slope_;
  record["updates"] = m.updates;
  record[task_.unit() + "_per_second"] = speed;
  if (m.skipped > 0) record["skipped_updates"] = m.skipped;
  write_record(MetricsWriter::line_of(record));
  if (m.skipped > 0) {
    progress_.message(fmt::format("step {}: {} of the last {} updates skipped, {}", step_, m.skipped,
                                  options_.log_every, reason_to_skip()));
  }
  progress_.show(progress_line(m, speed), /*recorded=*/true);
}

bool Trainer::save_if_best(const std::filesystem::path& path, double loss, std::optional<double>& best,
                           const std::string& what) {
  const bool better = std::isfinite(loss) && (!best || loss < *best);
  progress_.message(fmt::format("step {}  {} {}{}", step_, what, task_.loss_text(loss), better ? "  (best)" : ""));
  if (!better) return false;
  require_finite_weights();
  try {
    save_model(path, loss);
  } catch (const Error& error) {
    progress_.message(fmt::format("step {}: the best model is not saved: {}", step_, error.what()));
    unsaved_best_[path] = error.what();
    return false;  // the existing file stays the best until a later one can be written
  }
  unsaved_best_.erase(path);
  best = loss;
  return true;
}

void Trainer::record_evaluation(const Evaluation& result, const std::optional<Evaluation>& averaged) {
  nlohmann::ordered_json record = {{"event", "eval"}, {"step", step_}, {"epoch", epoch()}, {"loss", result.loss}};
  for (const auto& [name, value] : task_.measures(result.loss, /*validation=*/true)) record[name] = value;
  record["grad_norm"] = nullptr;  // none in an evaluation
  record["lr"] = last_learning_rate();
  record["slope"] = slope_;
  record["updates"] = result.updates;
  record[task_.unit() + "_per_second"] = result.seconds > 0 ? static_cast<double>(result.count) / result.seconds : 0.0;
  if (averaged) {
    nlohmann::ordered_json ema = {{"loss", averaged->loss}};
    for (const auto& [name, value] : task_.measures(averaged->loss, /*validation=*/true)) ema[name] = value;
    ema["updates"] = averaged->updates;
    record["ema"] = ema;
  }
  write_record(MetricsWriter::line_of(record));
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
  line.learning_rate = last_learning_rate();
  line.slope = slope_;
  line.updates = m.updates;
  line.per_second = per_second;
  line.unit = task_.unit();
  line.seconds_left = seconds_left();
  return line;
}

}  // namespace hmrnn
