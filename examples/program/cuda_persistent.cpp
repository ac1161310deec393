#include "examples/program/cuda_persistent.h"

#include <fmt/format.h>

#include <algorithm>

#include "hmrnn/ops/cuda_persistent.h"
#include "hmrnn/train/window_runner.h"

namespace {

constexpr int64_t kTimed = 10;  ///< windows, of which a GPU does some hundred a second
constexpr double kBudget = 1;   ///< seconds for them

double time_windows(hmrnn::Trainer& trainer, bool persistent) {
  hmrnn::set_cuda_persistent(persistent);
  // A graph's warm-up, its capture, and a replay before those that count.
  return trainer.time_windows(hmrnn::WindowRunner::kWarmUp + 2, kTimed, kBudget);
}

/// Whether this run's windows fit into the kernel.
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
    // In turns: a device that was idle takes its time to reach its pace.
    double steps = time_windows(trainer, false), whole = time_windows(trainer, true);
    steps = std::min(steps, time_windows(trainer, false));
    whole = std::min(whole, time_windows(trainer, true));
    wanted_ = whole < steps ? "on" : "off";
    progress.message(
        fmt::format("--cuda-persistent auto: {}, a window takes {:.3g} ms in one kernel, {:.3g} ms step by step",
                    wanted_, 1e3 * whole, 1e3 * steps));
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
