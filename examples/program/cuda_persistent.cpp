#include "examples/program/cuda_persistent.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hmrnn/ops/cuda_persistent.h"
#include "hmrnn/train/window_runner.h"

namespace {

constexpr int64_t kTimed = 10;   ///< number of windows to time
constexpr double kBudget = 1;    ///< limit of their time, seconds
constexpr double kAlike = 0.05;  ///< allowed difference of the losses: nats, relative above 1 nat

/// Skips the windows of a graph's warm-up, its capture and one replay, then times the following ones.
hmrnn::Trainer::WindowTimes time_windows(hmrnn::Trainer& trainer, bool persistent) {
  hmrnn::set_cuda_persistent(persistent);
  return trainer.time_windows(hmrnn::WindowRunner::kWarmUp + 2, kTimed, kBudget);
}

/// Whether the persistent kernel supports this run's windows.
bool fits(hmrnn::Trainer& trainer) {
  const auto before = hmrnn::cuda_persistent_windows();
  hmrnn::set_cuda_persistent(true);
  trainer.time_windows(0, 1, 0);
  return hmrnn::cuda_persistent_windows() > before;
}

}  // namespace

CudaPersistent::CudaPersistent(std::string wanted, torch::Device device, std::optional<torch::ScalarType> dtype)
    : wanted_(std::move(wanted)), possible_(device.is_cuda() && dtype == torch::kBFloat16) {
  hmrnn::set_cuda_persistent(device.is_cuda() && wanted_ == "on");
}

std::optional<std::string> CudaPersistent::choose(hmrnn::Trainer& trainer, hmrnn::Progress& progress) {
  if (wanted_ != "auto" || !possible_) return std::nullopt;
  if (!fits(trainer)) {
    wanted_ = "off";
    progress.message("--cuda-persistent auto: off, this model and batch have no such kernel");
  } else {
    // Alternates between the two, since the clock of an idle device rises slowly.
    const auto steps = time_windows(trainer, false), whole = time_windows(trainer, true);
    const double of_steps = 1e3 * std::min(steps.seconds, time_windows(trainer, false).seconds);
    const double of_whole = 1e3 * std::min(whole.seconds, time_windows(trainer, true).seconds);
    // The two sum in different orders, so that a boundary differs occasionally; the losses then differ by far less than
    // kAlike.
    const bool alike = std::abs(whole.loss - steps.loss) <= kAlike * std::max(1.0, std::abs(steps.loss));
    wanted_ = alike && of_whole < of_steps ? "on" : "off";
    progress.message(
        fmt::format("--cuda-persistent auto: {}, a window takes {:.3g} ms in one kernel, {:.3g} ms step by step{}",
                    wanted_, of_whole, of_steps,
                    alike ? "" : fmt::format("; but its loss is {:.4f}, not {:.4f} nats", whole.loss, steps.loss)));
  }
  hmrnn::set_cuda_persistent(wanted_ == "on");
  return wanted_;
}

void CudaPersistent::check(hmrnn::Progress& progress) {
  if (checked_) return;
  checked_ = true;
  if (hmrnn::cuda_persistent() && hmrnn::cuda_persistent_windows() == 0) {
    progress.message("--cuda-persistent on: this model, batch and dtype have no such kernel; windows go step by step");
  }
}
