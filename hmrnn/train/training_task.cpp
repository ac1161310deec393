#include "hmrnn/train/training_task.h"

#include <fmt/format.h>

namespace hmrnn {

TrainingTask::~TrainingTask() = default;

torch::Device TrainingTask::device() const { return torch::kCPU; }

int64_t TrainingTask::layers() const { return 0; }

void TrainingTask::prefetch(int64_t /*epoch*/, int64_t /*window*/) {}

std::vector<torch::Tensor> TrainingTask::window_means() { return {}; }

void TrainingTask::settle(const torch::Tensor& /*not_finite*/) {}

void TrainingTask::constrain() {}

void TrainingTask::set_slope(double /*slope*/) {}

double TrainingTask::slope() const { return 1; }

void TrainingTask::save_state(SafeTensors& /*file*/) const {}

void TrainingTask::load_state(const SafeTensors& /*file*/, const std::string& /*where*/) {}

std::string TrainingTask::describe() const { return "{}"; }

std::vector<std::pair<std::string, double>> TrainingTask::measures(double /*loss*/, bool /*validation*/) const {
  return {};
}

std::string TrainingTask::loss_text(double loss) const { return fmt::format("{:.4f}", loss); }

}  // namespace hmrnn
