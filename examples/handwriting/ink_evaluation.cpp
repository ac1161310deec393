#include "ink_evaluation.h"

#include "hmrnn/analysis/boundary_probability.h"
#include "hmrnn/error.h"
#include "hmrnn/nn/mixture_density.h"

namespace {

/// Collects the windows of each line.
struct SignalCollector {
  std::vector<std::vector<torch::Tensor>> z, probability, norms, nats;

  explicit SignalCollector(size_t lines) : z(lines), probability(lines), norms(lines), nats(lines) {}

  void add(const hmrnn::HandwritingModel& model, const hmrnn::InkWindow& window, const hmrnn::HMLSTMState& before,
           const hmrnn::HandwritingOutput& out) {
    const auto device = out.raw.device();
    const auto zs = out.core.z.cpu(), lengths = hmrnn::state_norms(out.core).cpu();
    const auto sure =
        model->hm_lstm.is_empty()
            ? zs
            : hmrnn::boundary_probability(model->hm_lstm, window.input.to(device), before, out.core).cpu();
    const auto loss =
        -hmrnn::mixture_log_density(hmrnn::read_mixture(out.raw), window.target.to(device)).to(torch::kFloat32).cpu();
    for (int64_t b = 0; b < zs.size(1); ++b) {
      const auto live = window.lengths[b].item<int64_t>();
      const auto row = window.rows[static_cast<size_t>(b)];
      const auto part = [&](const torch::Tensor& x) { return x.select(1, b).narrow(0, 0, live).clone(); };
      z[row].push_back(part(zs));
      probability[row].push_back(part(sure));
      norms[row].push_back(part(lengths));
      nats[row].push_back(part(loss));
    }
  }

  std::vector<InkSignals> lines() const {
    std::vector<InkSignals> out;
    for (size_t i = 0; i < z.size(); ++i) {
      out.push_back({torch::cat(z[i]), torch::cat(probability[i]), torch::cat(norms[i]), torch::cat(nats[i])});
    }
    return out;
  }
};

}  // namespace

InkEvaluation evaluate_ink(const hmrnn::HandwritingCheckpoint& checkpoint, const ChosenLines& lines,
                           torch::Device device, uint64_t seed, const std::string& run, bool signals,
                           const hmrnn::InkVisitor& visit) {
  const auto& options = checkpoint.model->options;
  const bool skips = options.core() == hmrnn::Core::LSTM || options.boundary() != hmrnn::BoundaryMode::Soft;
  InkEvaluation out{{}, {hmrnn::cost_sizes(options), skips}, 0, {}};
  const auto batches = lines.batches(checkpoint.normalisation);
  SignalCollector seen(lines.lines.size());
  out.result = hmrnn::evaluate_ink(checkpoint.model, batches, device, seed, {}, std::nullopt,
                                   [&](const auto& window, const auto& before, const auto& output) {
                                     out.cost.add(output.core.z, before.z, window.count, window.lengths);
                                     if (signals) seen.add(checkpoint.model, window, before, output);
                                     if (visit) visit(window, before, output);
                                   })
                   .value();
  require_finite_result(out.result.loss, run);
  out.log_likelihood =
      -out.result.loss * static_cast<double>(out.result.count) / static_cast<double>(batches.sequences());
  if (signals) out.lines = seen.lines();
  return out;
}

Json eval_json(const hmrnn::HandwritingCheckpoint& checkpoint, const ChosenLines& lines, const InkEvaluation& found) {
  return {{"split", lines.split},
          {"sequences", lines.lines.size()},
          {"points", found.result.count},
          {"log_likelihood", found.log_likelihood},
          {"nll_per_point", found.result.loss},
          {"normalisation", Json::parse(hmrnn::describe_normalisation(checkpoint.normalisation))},
          {"updates", found.result.updates},
          {"cost", cost_json(found.cost, found.result.count)}};
}

std::vector<NamedEvents> ink_events(const ChosenLines& lines) {
  NamedEvents pen{"pen_up", {}}, words{"word_end", {}};
  for (const auto index : lines.lines) {
    const auto& line = lines.corpus.lines[index];
    auto& marks = pen.events.emplace_back();
    for (size_t i = 0; i + 1 < line.points.size(); ++i) marks.push_back(line.points[i].pen_up ? 1 : 0);
    if (!line.word_end.empty()) words.events.emplace_back(line.word_end.begin(), line.word_end.end() - 1);
  }
  if (words.events.size() != pen.events.size()) return {pen};
  return {pen, words};
}

std::vector<hmrnn::MarkSequences> ink_boundaries(const InkEvaluation& found, const std::string& run) {
  const auto detectors = found.lines.empty() ? 0 : found.lines[0].z.size(1);
  if (detectors < 1) throw hmrnn::Error(run + ": this model has no boundary detectors");
  std::vector<hmrnn::MarkSequences> out(static_cast<size_t>(detectors));
  for (const auto& line : found.lines) {
    auto layers = fired_by_layer(line.z);
    for (size_t l = 0; l < out.size(); ++l) out[l].push_back(std::move(layers[l]));
  }
  return out;
}

Json align_json(const ChosenLines& lines, const InkEvaluation& found, const hmrnn::AgreementOptions& options,
                const std::string& run) {
  return {{"split", lines.split},
          {"sequences", lines.lines.size()},
          {"tolerance", options.tolerance},
          {"shift", options.shift},
          {"layers", agreement_json(ink_boundaries(found, run), ink_events(lines), options)}};
}
