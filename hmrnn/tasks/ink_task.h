#pragma once

#include <torch/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hmrnn/data/ink_batches.h"
#include "hmrnn/data/ink_corpus.h"
#include "hmrnn/export.h"
#include "hmrnn/models/handwriting_checkpoint.h"
#include "hmrnn/models/handwriting_model.h"
#include "hmrnn/tasks/boundary_cost.h"
#include "hmrnn/train/carried_state.h"
#include "hmrnn/train/training_task.h"
#include "hmrnn/train/window_feed.h"

namespace hmrnn {

/// Options of InkTask.
struct InkTaskOptions {
  int64_t batch = 32;                                    ///< sequences per batch
  int64_t window = 0;                                    ///< steps of truncated back-propagation; 0: the whole sequence
  InkCoordinates coordinates = InkCoordinates::Offsets;  ///< how x and y are given to the model
  /// Standardisation of x and y, whose coordinates replace `coordinates` (for a model that is trained further on other
  /// lines); none: by mean and deviation of the training lines.
  std::optional<InkNormalisation> normalisation = std::nullopt;
  double scale_jitter = 0;                 ///< for training lines (InkJitter)
  BoundaryCostOptions boundary_cost = {};  ///< control of the detectors' firing rates
  double detector_norm_cap = 0;            ///< HMLSTM::cap_detector_norms after every update; 0: no cap
  uint64_t seed = 1;  ///< for order and jitter of the sequences, and for Bernoulli boundaries in validation
  int64_t rank = 0;   ///< index of this process, which trains on its rows of every batch and validates on its lines
  int64_t ranks = 1;  ///< number of processes that train the model together
  torch::Device device = torch::kCPU;                             ///< for model and windows
  std::optional<torch::ScalarType> product_dtype = std::nullopt;  ///< in training; validation is in float32
};

/// Next-point prediction: a HandwritingModel over batches of whole lines of handwriting, each of which starts from
/// zeros; with a window, state is carried along the lines.
class HMRNN_API InkTask : public TrainingTask {
 public:
  /// Moves `model` to the device and measures the training lines where no normalisation is given. Throws hmrnn::Error
  /// if the corpus lacks a part, a batch cannot be shared evenly among `ranks`, or there is no such `rank`.
  InkTask(HandwritingModel model, const InkCorpus& corpus, InkReference reference, const InkTaskOptions& options);

  torch::nn::Module& module() override { return *model_; }
  torch::Device device() const override { return options_.device; }
  int64_t layers() const override { return static_cast<int64_t>(model_->options.hidden_sizes().size()); }
  int64_t windows() const override { return train_.windows(); }
  LoadedWindow load(int64_t epoch, int64_t window) override;
  void prefetch(int64_t epoch, int64_t window) override { feed_.prefetch(epoch, window); }
  std::vector<torch::Tensor> window_means() override { return cost_.means(); }
  WindowLoss forward() override;
  void settle(const torch::Tensor& not_finite) override;
  void constrain() override;
  std::optional<Evaluation> evaluate(const std::function<bool()>& stop) override;
  void set_slope(double slope) override;
  double slope() const override { return slope_; }
  void save_state(SafeTensors& file) const override;
  void load_state(const SafeTensors& file, const std::string& where) override;
  std::string describe() const override;
  std::string unit() const override { return "points"; }
  std::vector<std::pair<std::string, double>> measures(double loss, bool validation) const override;
  std::string loss_text(double loss) const override;

  /// The normalisation of the options, or that measured on the training lines.
  const InkNormalisation& normalisation() const { return normalisation_; }
  /// The training lines.
  const InkBatches& batches() const { return train_; }

 private:
  HandwritingModel model_;
  InkReference reference_;
  InkTaskOptions options_;
  InkNormalisation normalisation_;
  InkBatches train_, valid_;  ///< all training lines; the validation lines of this process
  double validation_length_;  ///< scored points of a validation line, mean over all of them
  BoundaryCost cost_;
  double slope_ = 1;
  CarriedState state_;
  WindowFeed feed_;      ///< windows of train_
  int64_t targets_ = 0;  ///< of the loaded window, in this process
};

}  // namespace hmrnn
