#include "hmrnn/tasks/ink_task.h"

#include <fmt/format.h>

#include "hmrnn/analysis/operations.h"
#include "hmrnn/error.h"
#include "hmrnn/run/process_group.h"
#include "hmrnn/tasks/evaluate_ink.h"

namespace hmrnn {

namespace {

/// Standardised x and y of 0 units.
std::array<double, 2> zero_units(const InkNormalisation& of) {
  return {-of.mean[0] / of.deviation[0], -of.mean[1] / of.deviation[1]};
}

/// Every `ranks`-th of the lines, from `rank` on.
std::vector<size_t> share_of(const std::vector<size_t>& lines, int64_t rank, int64_t ranks) {
  if (static_cast<int64_t>(lines.size()) < ranks) {
    throw Error(fmt::format("{} validation lines cannot be shared among {} processes", lines.size(), ranks));
  }
  std::vector<size_t> out;
  for (auto i = static_cast<size_t>(rank); i < lines.size(); i += static_cast<size_t>(ranks)) out.push_back(lines[i]);
  return out;
}

double mean_scored_points(const InkCorpus& corpus, const std::vector<size_t>& lines) {
  double points = 0;
  for (const auto line : lines) points += static_cast<double>(corpus.lines.at(line).points.size()) - 1;
  return points / static_cast<double>(lines.size());
}

/// Narrows every tensor to the rows of this process; the rows of tensor i are its dimension `dim[i]`.
void take_rows(HostWindow& window, const std::vector<int64_t>& dim, int64_t rank, int64_t ranks) {
  for (size_t i = 0; i < dim.size(); ++i) {
    auto& tensor = window.tensors[i];
    const auto [begin, count] = rows_of_rank(tensor.size(dim[i]), rank, ranks);
    tensor = tensor.narrow(dim[i], begin, count).contiguous();
  }
}

}  // namespace

InkTask::InkTask(HandwritingModel model, const InkCorpus& corpus, InkReference reference, const InkTaskOptions& options)
    : model_(std::move(model)),
      reference_(std::move(reference)),
      options_((require_rank(options.rank, options.ranks), options)),
      normalisation_(options.normalisation ? *options.normalisation
                                           : measure_ink(corpus, corpus.split("train"), options.coordinates)),
      train_(ink_sequences(corpus, corpus.split("train"), normalisation_), options.batch, options.window, options.seed,
             {options.scale_jitter, zero_units(normalisation_)}),
      valid_(ink_sequences(corpus, share_of(corpus.split("valid"), options.rank, options.ranks), normalisation_),
             kInkEvaluationBatch, kInkEvaluationWindow, std::nullopt),
      validation_length_(mean_scored_points(corpus, corpus.split("valid"))),
      cost_(options.boundary_cost, model_->options.core() == Core::HMLSTM ? layers() - 1 : 0, options.device),
      slope_(model_->slope()),
      feed_(
          [this](int64_t epoch, int64_t i) {
            auto window = train_.window(epoch, i);
            HostWindow out{{window.input, window.target, window.lengths, window.weight}, window.count, window.first};
            if (options_.ranks > 1) {
              take_rows(out, {1, 1, 0, 1}, options_.rank, options_.ranks);
              out.count = out.tensors[2].sum().item<int64_t>();
            }
            return out;
          },
          options.device) {
  if (options_.batch % options_.ranks != 0) {
    throw Error(fmt::format("a batch of {} lines cannot be shared among {} processes", options_.batch, options_.ranks));
  }
  model_->to(options_.device);
  model_->set_product_dtype(options_.product_dtype);
  model_->train();
  state_.reserve(model_->initial_state(options_.batch / options_.ranks));
}

LoadedWindow InkTask::load(int64_t epoch, int64_t i) {
  const auto window = feed_.load(epoch, i);
  if (window.first) state_.start(feed_[0].size(1));
  targets_ = window.count;
  // Without targets forward() computes nothing, so such a window must not be replayed as one of its sizes.
  return {window.count, window.count, targets_ > 0 ? feed_.layout() : std::vector<int64_t>{}};
}

WindowLoss InkTask::forward() {
  const auto &input = feed_[0], &target = feed_[1], &lengths = feed_[2], &weight = feed_[3];
  WindowLoss result;
  // This process has no line in the batch, or all its lines have ended before this window: the state is unchanged, and
  // the loss, a mean over no targets, is undefined.
  if (targets_ == 0) {
    cost_.skip();
    state_.set_next(state_.current());
    result.updates = torch::zeros({layers()}, torch::TensorOptions(options_.device).dtype(torch::kFloat64));
    return result;
  }
  HMLSTMCall call;
  call.lengths = lengths;
  const auto out = model_->forward(input, state_.current(), call);
  result.loss = handwriting_loss(out.raw, target, weight);
  result.penalty = cost_.penalty(out.core.z, weight);
  result.updates = update_counts(out.core.z, state_.current().z, layers(), weight);
  state_.set_next(out.core.state);
  return result;
}

std::optional<Evaluation> InkTask::evaluate(const std::function<bool()>& stop) {
  return evaluate_ink(model_, valid_, options_.device, options_.seed, stop, options_.product_dtype);
}

void InkTask::settle(const torch::Tensor& not_finite) {
  state_.settle(not_finite);
  cost_.settle(not_finite);
  model_->shift_detector_biases(cost_.bias_change());
}

void InkTask::constrain() {
  if (options_.detector_norm_cap > 0) model_->cap_detector_norms(options_.detector_norm_cap);
}

void InkTask::save_state(SafeTensors& file) const {
  state_.save(file);
  cost_.save(file);
}

void InkTask::load_state(const SafeTensors& file, const std::string& where) {
  state_.load(file, where, /*any_batch=*/true);
  cost_.load(file, where);
}

void InkTask::set_slope(double slope) {
  slope_ = slope;
  model_->set_slope(slope);
}

std::string InkTask::describe() const {
  return describe_handwriting(model_->options, model_->options.core() == Core::HMLSTM ? slope_ : 1.0, normalisation_,
                              reference_);
}

std::vector<std::pair<std::string, double>> InkTask::measures(double loss, bool validation) const {
  // Windows have different lengths, so the mean per point is scaled to a sequence of mean length.
  const double length =
      validation ? validation_length_ : static_cast<double>(train_.targets()) / static_cast<double>(train_.sequences());
  return {{"log_likelihood", -loss * length}};
}

std::string InkTask::loss_text(double loss) const { return fmt::format("{:.4f} nats/point", loss); }

}  // namespace hmrnn
