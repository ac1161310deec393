// char_lm report
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "examples/program/output_file.h"
#include "hmrnn/analysis/operations.h"
#include "hmrnn/analysis/segments.h"
#include "hmrnn/error.h"
#include "hmrnn/io/atomic_file.h"
#include "hmrnn/run/run_folder.h"
#include "text_evaluation.h"
#include "text_page.h"

namespace {

constexpr int64_t kCharacters = 20'000;
constexpr size_t kFrequent = 25;

/// The most frequent segments of each layer, as text and count.
Json frequent_json(const std::string& text, const std::vector<hmrnn::MarkSequences>& layers) {
  Json out = Json::array();
  for (const auto& layer : layers) {
    Json list = Json::array();
    for (const auto& [segment, count] : hmrnn::frequent_segments(text, layer.at(0), kFrequent)) {
      std::string shown;
      for (const auto& cell : text_cells(segment)) shown += cell.shown;
      list.push_back({shown, count});
    }
    out.push_back(list);
  }
  return out;
}

/// The data of one model for the page.
Json run_json(const hmrnn::CharLMCheckpoint& checkpoint, const ChosenText& text, const TextEvaluation& found,
              const std::vector<NamedEvents>& events, const hmrnn::AgreementOptions& agreement,
              const std::vector<TextCell>& cells, const std::string& run) {
  const auto layers = static_cast<int64_t>(checkpoint.model->options.hidden_sizes().size());
  // bits[i] belongs to symbol i + 1; the first symbol is not scored.
  const auto bits = torch::cat({torch::zeros({1}), found.bits.narrow(0, 0, found.bits.size(0) - 1)});
  const TextSignals signals{found.z, found.probability,
                            hmrnn::operation_strings(found.z, torch::zeros_like(found.z[0]), layers), found.norms,
                            bits};
  Json out = {{"model", model_json(checkpoint)},
              {"unit", unit_of(checkpoint.vocabulary)},
              {"eval", eval_json(checkpoint, text, found)},
              {"per_second", static_cast<double>(found.result.count) / std::max(found.result.seconds, 1e-9)},
              {"signals", signals_json(cells, signals)}};
  if (found.z.size(1) == 0) return out;
  std::vector<hmrnn::MarkSequences> marks;
  for (auto& layer : fired_by_layer(found.z)) marks.push_back({std::move(layer)});
  out["align"] = align_json(checkpoint, text, found, events, agreement, run);
  out["segments"] = segments_json(marks);
  out["frequent"] = frequent_json(text.bytes.substr(0, text.bytes.size() - 1), marks);
  out["certainty"] = certainty_json(found.probability, found.z);
  return out;
}

/// The files that may be read for a model that was trained on `corpus`.
std::vector<std::string> texts_of(const Arguments& arguments, const hmrnn::CorpusReference& corpus) {
  std::vector<std::string> out = {arguments.get("text", ""), arguments.get("against", ""), corpus.valid_file,
                                  corpus.test_file};
  for (const auto& file : hmrnn::corpus_files(arguments.get("corpus", corpus.corpus))) out.push_back(file.string());
  return out;
}

}  // namespace

int report_command(int argc, char** argv) {
  auto specs = model_options();
  specs.push_back({"out", "FILE", "the page, FILE.html"});
  specs.push_back({"against", "WHAT", "what the boundaries are compared with, as in align"});
  for (const auto& spec : text_options(std::to_string(kCharacters))) specs.push_back(spec);
  for (const auto& spec : agreement_options("symbols", 0)) specs.push_back(spec);
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments = Arguments::parse("report",
                                          "Writes one self-contained page: a model's results on a text, and its "
                                          "training; several RUNs\n"
                                          "side by side. Its figures are those of `eval --json` and `align --json` "
                                          "with the same options (--characters!).\n",
                                          specs, "run", argc, argv, "RUN");
  if (!arguments) return 0;

  std::vector<std::string> runs = {arguments->require("run")};
  runs.insert(runs.end(), arguments->rest().begin(), arguments->rest().end());
  const auto out = arguments->require("out");
  require_output("out", out, ".html", runs);
  const auto agreement = parse_agreement_options(*arguments, 0);
  const auto device = set_up_machine(*arguments);

  const auto names = run_names(runs);
  Json data = {{"title", fmt::format("{}", fmt::join(names, ", "))}, {"kind", "text"}};
  data["runs"] = Json::array();
  std::string shown;  // the text that all models have read
  std::vector<TextCell> cells;
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto file = hmrnn::RunFolder::find_model(runs[i]);
    auto checkpoint = hmrnn::load_char_lm(file);
    tell_about_model(*arguments, file, checkpoint.step, checkpoint.verified);
    require_output("out", out, ".html", texts_of(*arguments, checkpoint.corpus));
    checkpoint.model->to(device);
    const auto text = choose_text(*arguments, checkpoint, kCharacters);
    const auto found = evaluate_text(checkpoint, text, 1, device, agreement.seed, runs[i], /*signals=*/true);
    if (i == 0) {
      shown = text.bytes;
      cells = text_cells(std::string_view(shown).substr(0, shown.size() - 1));  // the last symbol is not read
      data["text"] = {{"corpus", text.corpus}, {"split", text.split}};
      data["cells"] = cells_json(cells);
    } else if (text.bytes != shown) {
      throw hmrnn::Error(runs[i] + " reads another text than " + runs[0] + "; --text or --corpus gives them one");
    }
    auto run = run_json(checkpoint, text, found, choose_events(*arguments, text), agreement, cells, runs[i]);
    run["name"] = names[i];
    run["training"] = training_json(runs[i]);
    data["runs"].push_back(run);
  }
  const auto page = report_page(data);
  hmrnn::write_file_atomically(out, [&](const auto& sink) { sink(page); });
  return 0;
}
