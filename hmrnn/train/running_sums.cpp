#include "hmrnn/train/running_sums.h"

#include <limits>

#include "hmrnn/error.h"

namespace hmrnn {

namespace {

// Indices into sums_; the layers' updates follow.
enum Sum : int64_t { kLoss, kNorm, kTargets, kWindows, kPositions, kSkipped, kUpdates };

}  // namespace

RunningSums::RunningSums(int64_t layers, torch::Device device) : layers_(layers) {
  const auto numbers = torch::TensorOptions(device).dtype(torch::kFloat64);
  window_ = torch::zeros({4}, numbers);
  window_[1].fill_(1);
  sums_ = torch::zeros({kUpdates + layers}, numbers);
  skipped_total_ = torch::zeros({}, numbers);
  skipped_in_row_ = torch::zeros({}, numbers);
}

void RunningSums::expect(int64_t targets, int64_t positions) {
  // fill_ instead of copy_: a copy from pageable host memory would wait for the device.
  if (targets != targets_) window_[0].fill_(targets_ = targets);
  if (positions != positions_) window_[2].fill_(positions_ = positions);
}

void RunningSums::add(const torch::Tensor& loss, const torch::Tensor& updates, const ClippedAdam::Report& report) {
  const torch::NoGradGuard no_grad;
  const auto skipped = report.skipped.to(torch::kFloat64);
  const auto measured = torch::stack({loss.detach().to(torch::kFloat64) * window_[0], report.norm.to(torch::kFloat64)});
  const auto updated = layers_ > 0 ? updates : window_.narrow(0, 0, 0);
  sums_ += torch::cat({measured, window_, updated}).masked_fill(report.not_finite.ne(0), 0);
  sums_[kSkipped] += skipped;
  skipped_total_ += skipped;
  skipped_in_row_.add_(1).mul_(skipped);
}

RunningSums::Means RunningSums::means() const {
  const auto host = sums_.cpu();
  const auto* sum = host.data_ptr<double>();
  const auto ratio = [](double a, double b) { return b > 0 ? a / b : std::numeric_limits<double>::quiet_NaN(); };
  Means out;
  out.loss = ratio(sum[kLoss], sum[kTargets]);
  out.gradient_norm = ratio(sum[kNorm], sum[kWindows]);
  for (int64_t l = 0; l < layers_; ++l) out.updates.push_back(ratio(sum[kUpdates + l], sum[kPositions]));
  out.targets = sum[kTargets];
  out.skipped = static_cast<int64_t>(sum[kSkipped]);
  return out;
}

void RunningSums::save(SafeTensors& file) const { file.tensors.emplace_back("sums", sums_.cpu()); }

void RunningSums::load(const SafeTensors& file, const std::string& where, double skipped_total, double skipped_in_row) {
  const auto sums = file.find("sums");
  if (!sums.defined() || sums.sizes() != sums_.sizes() || sums.scalar_type() != torch::kFloat64) {
    throw Error(where + ": tensor sums is missing or of another shape");
  }
  sums_.copy_(sums);
  skipped_total_.fill_(skipped_total);
  skipped_in_row_.fill_(skipped_in_row);
}

}  // namespace hmrnn
