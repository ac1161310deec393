#pragma once

#include <torch/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hmrnn/data/text_corpus.h"
#include "hmrnn/data/text_streams.h"
#include "hmrnn/export.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/char_lm_checkpoint.h"
#include "hmrnn/models/given_boundaries.h"
#include "hmrnn/tasks/boundary_cost.h"
#include "hmrnn/train/carried_state.h"
#include "hmrnn/train/training_task.h"
#include "hmrnn/train/window_feed.h"

namespace hmrnn {

/// Options of TextTask.
struct TextTaskOptions {
  int64_t batch = 64;           ///< parallel streams of the training text
  int64_t window = 100;         ///< steps of truncated back-propagation
  int64_t eval_streams = 64;    ///< streams the validation text is cut into
  bool roll = false;            ///< each epoch begins at another character, drawn with `seed`, and wraps around
  std::string boundaries = {};  ///< a given segmentation (GivenBoundaries); empty: the detectors decide
  BoundaryCostOptions boundary_cost = {};  ///< control of the detectors' firing rates
  double detector_norm_cap = 0;            ///< HMLSTM::cap_detector_norms after every update; 0: no cap
  uint64_t seed = 1;                       ///< for `roll`, and for Bernoulli boundaries in validation
  int64_t rank = 0;   ///< index of this process, which trains and validates on its share of the streams
  int64_t ranks = 1;  ///< number of processes that train the model together
  torch::Device device = torch::kCPU;      ///< for model and windows
  std::optional<torch::ScalarType> product_dtype = std::nullopt;  ///< in training; validation is in float32
};

/// Next-character prediction: a CharLM over contiguous streams of a corpus, state carried from window to window.
class HMRNN_API TextTask : public TrainingTask {
 public:
  /// Moves `model` to the device. Throws hmrnn::Error if the training text is shorter than one window of every stream
  /// or the validation text has fewer than two characters, the streams cannot be shared evenly among `ranks`, there
  /// is no such `rank`, or `boundaries` or `boundary_cost` do not fit the model.
  TextTask(CharLM model, const TextCorpus& corpus, CorpusReference reference, const TextTaskOptions& options);

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
  /// "characters"; "bytes" (and losses in bits per byte) if the vocabulary is not ASCII
  std::string unit() const override;
  std::vector<std::pair<std::string, double>> measures(double loss, bool validation) const override;
  std::string loss_text(double loss) const override;

 private:
  /// The character at which an epoch begins.
  int64_t offset(int64_t epoch) const;
  /// Streams of this process.
  int64_t own_streams() const { return options_.batch / options_.ranks; }
  HostWindow make_window(int64_t epoch, int64_t window) const;

  CharLM model_;
  Vocabulary vocabulary_;
  CorpusReference reference_;
  TextTaskOptions options_;
  TextStreams train_, valid_;
  GivenBoundaries given_;
  BoundaryCost cost_;
  double slope_ = 1;
  CarriedState state_;
  WindowFeed feed_;  ///< windows of train_
};

/// Bits per character of a mean loss in nats.
HMRNN_API double bits_per_character(double nats);

}  // namespace hmrnn
