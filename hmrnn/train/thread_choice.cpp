#include "hmrnn/train/thread_choice.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>

#include "hmrnn/io/machine_limits.h"

namespace hmrnn {

namespace {

constexpr double kSpan = 1;           ///< seconds over which a speed is measured
constexpr double kSlowFor = 10;       ///< seconds below half the best speed after which to choose again
constexpr double kInterval = 600;     ///< seconds after which to choose again anyway,
constexpr double kShareOfTime = 200;  ///< or this many times the duration of a choice, if that is longer
constexpr double kAlike = 1.05;       ///< more threads are chosen only if they are faster by more than this factor
constexpr double kLongWindow = 0.5;   ///< seconds; if a window takes longer, one is timed with each number of threads
constexpr int64_t kTimed = 20;        ///< maximum of windows timed in a row with one number of threads,
constexpr double kBudget = 0.25;      ///< and their intended duration, seconds; four times this is the limit

}  // namespace

void SpeedWatch::begin(double seconds) {
  *this = {};
  interval_ = std::max(kInterval, kShareOfTime * seconds);
}

bool SpeedWatch::step(double seconds, double targets) {
  seconds_ += seconds;
  span_seconds_ += seconds;
  span_targets_ += targets;
  if (span_seconds_ < kSpan) return false;
  const double speed = span_targets_ / span_seconds_;
  slow_seconds_ = speed < best_ / 2 ? slow_seconds_ + span_seconds_ : 0;
  best_ = std::max(best_, speed);
  span_seconds_ = span_targets_ = 0;
  return slow_seconds_ >= kSlowFor || seconds_ >= interval_;
}

std::vector<int> thread_candidates(int most) {
  std::vector<int> out;
  for (int n = 1; n < most; n *= 2) out.push_back(n);
  out.push_back(most);
  return out;
}

int choose_threads(const std::map<int, double>& seconds) {
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [n, time] : seconds) least = std::min(least, time);
  for (const auto& [n, time] : seconds) {
    if (time <= kAlike * least) return n;
  }
  return 1;
}

ThreadChoice::ThreadChoice(bool automatic, torch::Device device, int64_t stored, std::function<void(int)> store)
    : store_(std::move(store)) {
  if (!automatic || !device.is_cpu()) return;
  most_ = static_cast<int>(std::min<int64_t>(at::get_num_threads(), usable_cpus()));
  if (stored < 1 || stored > most_) return;
  at::set_num_threads(static_cast<int>(stored));
  chosen_ = true;
}

void ThreadChoice::begin(Trainer& trainer, Progress& progress) {
  if (most_ < 2) return;
  watch_.begin(0);
  if (!chosen_) choose(trainer, progress, /*first=*/true);
}

void ThreadChoice::after_step(Trainer& trainer, Progress& progress, double seconds, double targets) {
  if (most_ > 1 && watch_.step(seconds, targets)) choose(trainer, progress, /*first=*/false);
}

void ThreadChoice::choose(Trainer& trainer, Progress& progress, bool first) {
  const auto start = std::chrono::steady_clock::now();
  const int before = at::get_num_threads();
  std::map<int, double> seconds;
  const auto time_with = [&](int threads, int64_t timed, double budget) {
    at::set_num_threads(threads);
    return trainer.time_windows(/*untimed=*/0, timed, budget).seconds;
  };
  // The first window allocates memory. Its duration determines how many windows are timed. Every number of threads is
  // timed on the same windows, since windows differ; only one that is far slower reaches the time limit before the end.
  const double a_window = time_with(most_, 1, 0);
  const bool is_long = a_window > kLongWindow;
  const auto timed = std::clamp<int64_t>(static_cast<int64_t>(kBudget / a_window), 1, kTimed);
  const auto candidates = thread_candidates(most_);
  // Two rounds over all candidates, since the load of the machine changes; the minimum of the times counts.
  for (int round = 0; round < (is_long ? 1 : 2); ++round) {
    for (const int n : candidates) {
      if (trainer.asked_to_stop()) return at::set_num_threads(before);
      if (!is_long) time_with(n, 1, 0);  // starts the threads
      const double found = time_with(n, timed, 4 * kBudget);
      const auto [at, is_new] = seconds.try_emplace(n, found);
      if (!is_new) at->second = std::min(at->second, found);
    }
  }
  const int chosen = choose_threads(seconds);
  at::set_num_threads(chosen);
  chosen_ = true;
  watch_.begin(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  if (!first && chosen == before) return;
  std::vector<std::string> others;
  for (const auto& [n, time] : seconds) {
    if (n != chosen) others.push_back(fmt::format("{}: {:.3g} ms", n, 1e3 * time));
  }
  progress.message(fmt::format("{}--threads auto: {}{}, a window takes {:.3g} ms ({})",
                               first ? std::string() : fmt::format("step {}: ", trainer.step()), chosen,
                               first ? std::string() : fmt::format(" instead of {}", before), 1e3 * seconds.at(chosen),
                               fmt::join(others, ", ")));
  store_(chosen);
}

}  // namespace hmrnn
