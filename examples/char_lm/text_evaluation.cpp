#include "text_evaluation.h"

#include <numbers>

#include "hmrnn/analysis/boundary_probability.h"
#include "hmrnn/analysis/text_events.h"
#include "hmrnn/data/text_corpus.h"
#include "hmrnn/data/text_streams.h"
#include "hmrnn/error.h"
#include "hmrnn/tasks/evaluate_text.h"
#include "hmrnn/tasks/text_task.h"

namespace {

/// Collects the tensors of TextEvaluation from the windows of one stream.
struct SignalCollector {
  std::vector<torch::Tensor> z, probability, norms, bits;

  void add(const hmrnn::CharLM& model, const hmrnn::TextWindow& window, const hmrnn::HMLSTMState& before,
           const hmrnn::CharLMOutput& out) {
    z.push_back(out.core.z.cpu());
    norms.push_back(hmrnn::state_norms(out.core).cpu());
    const auto index = window.input.to(out.logits.device());
    probability.push_back(model->hm_lstm.is_empty()
                              ? z.back()
                              : hmrnn::boundary_probability(
                                    model->hm_lstm, model->embedding->weight.detach().index({index}), before, out.core)
                                    .cpu());
    const auto log_p = torch::log_softmax(out.logits, -1).gather(-1, window.target.to(index.device()).unsqueeze(-1));
    bits.push_back((log_p.squeeze(-1) / -std::numbers::ln2).cpu());
  }
};

torch::Tensor joined(const std::vector<torch::Tensor>& windows) { return torch::cat(windows).squeeze(1).contiguous(); }

/// Removes the mark of the last symbol.
hmrnn::MarkSequences but_the_last(std::vector<uint8_t> marks) {
  if (!marks.empty()) marks.pop_back();
  return {std::move(marks)};
}

}  // namespace

TextEvaluation evaluate_text(const hmrnn::CharLMCheckpoint& checkpoint, const ChosenText& text, int64_t streams,
                             torch::Device device, uint64_t seed, const std::string& run, bool signals) {
  const auto& options = checkpoint.model->options;
  const bool skips = options.core() == hmrnn::Core::LSTM || options.boundary() != hmrnn::BoundaryMode::Soft;
  TextEvaluation out{{}, {hmrnn::cost_sizes(options), skips}, {}, {}, {}, {}};
  SignalCollector seen;
  const hmrnn::TextStreams cut(text.index, streams, hmrnn::kEvaluationWindow, /*exact=*/true, text.source);
  out.result = hmrnn::evaluate_text(checkpoint.model, cut, device, seed, {}, std::nullopt, checkpoint.boundaries,
                                    [&](const auto& window, const auto& before, const auto& output) {
                                      out.cost.add(output.core.z, before.z, options.vocabulary_size());
                                      if (signals) seen.add(checkpoint.model, window, before, output);
                                    })
                   .value();
  require_finite_result(out.result.loss, run);
  if (!signals) return out;
  out.z = joined(seen.z);
  out.probability = joined(seen.probability);
  out.norms = joined(seen.norms);
  out.bits = joined(seen.bits);
  return out;
}

Json eval_json(const hmrnn::CharLMCheckpoint& checkpoint, const ChosenText& text, const TextEvaluation& found) {
  const bool bytes = !checkpoint.vocabulary.is_ascii();
  const double each = hmrnn::bits_per_character(found.result.loss);
  return {{"split", text.split},
          {bytes ? "bpb" : "bpc", each},
          {"bits", each * static_cast<double>(found.result.count)},
          {bytes ? "bytes" : "characters", found.result.count},
          {"updates", found.result.updates},
          {"cost", cost_json(found.cost, found.result.count)}};
}

std::vector<NamedEvents> choose_events(const Arguments& arguments, const ChosenText& text) {
  std::vector<NamedEvents> out;
  const auto against = arguments.get("against", "");
  if (against.empty() && !text.truth.empty()) {
    for (const auto& kind : text.truth) out.push_back({kind.name, but_the_last(kind.events.at(0))});
    return out;
  }
  if (against.empty() || against == "spaces") {
    out.push_back({"spaces", but_the_last(hmrnn::space_marks(text.bytes))});
  }
  if (against.empty() || against == "words") {
    out.push_back({"words", but_the_last(hmrnn::word_end_marks(text.bytes))});
  }
  if (!out.empty()) return out;

  const auto file = hmrnn::read_text_file(against);
  if (against.ends_with(".json")) {
    return {{"gold", but_the_last(hmrnn::read_positions(file, text.bytes.size(), against))}};
  }
  auto marked = hmrnn::read_marked_text(file, against);
  // `text` may be a prefix of the file, because of --characters.
  if (!marked.text.starts_with(text.bytes)) {
    throw hmrnn::Error(against + " without its marks is another text than " + text.source);
  }
  marked.events.resize(text.bytes.size());
  return {{"gold", but_the_last(marked.events)}};
}

Json align_json(const hmrnn::CharLMCheckpoint& checkpoint, const ChosenText& text, const TextEvaluation& found,
                const std::vector<NamedEvents>& events, const hmrnn::AgreementOptions& options,
                const std::string& run) {
  if (found.z.size(1) < 1) throw hmrnn::Error(run + ": this model has no boundary detectors");
  std::vector<hmrnn::MarkSequences> layers;
  for (auto& marks : fired_by_layer(found.z)) layers.push_back({std::move(marks)});
  return {{"split", text.split},
          {checkpoint.vocabulary.is_ascii() ? "characters" : "bytes", found.result.count},
          {"tolerance", options.tolerance},
          {"shift", options.shift},
          {"layers", agreement_json(layers, events, options)}};
}
