// handwriting report
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "examples/program/output_file.h"
#include "examples/program/report.h"
#include "hmrnn/analysis/operations.h"
#include "hmrnn/error.h"
#include "hmrnn/io/atomic_file.h"
#include "hmrnn/run/run_folder.h"
#include "ink_evaluation.h"

namespace {

constexpr double kMostNats = 25.5;  // two hexadecimal digits, in steps of 1/10, from -12.75 up

/// The points of a line as integers: x, y (up), and whether the pen is lifted after the point.
Json points_json(const hmrnn::InkLine& line) {
  Json out = Json::array();
  for (const auto& p : line.points) {
    out.push_back({std::lround(p.x), std::lround(p.y), p.pen_up ? 1 : 0});
  }
  return out;
}

/// The model's signals for a line: for each point except the last.
Json signals_json(const InkSignals& signals) {
  const auto layers = signals.norms.size(1);
  Json z = Json::array(), probability = Json::array();
  for (const auto& marks : fired_by_layer(signals.z)) {
    std::string letters;
    for (const auto mark : marks) letters += mark != 0 ? '1' : '0';
    z.push_back(letters);
  }
  for (int64_t l = 0; l < signals.probability.size(1); ++l)
    probability.push_back(as_hex(signals.probability.select(1, l), 1));
  Json out = {{"z", z},
              {"probability", probability},
              {"operations", hmrnn::operation_strings(signals.z, torch::zeros_like(signals.z[0]), layers)}};
  // nats[i] belongs to point i + 1; the first point is not scored.
  out["nats"] = as_hex(
      torch::cat({torch::zeros({1}), signals.nats.narrow(0, 0, signals.nats.size(0) - 1)}) + kMostNats / 2, kMostNats);
  out["nats_most"] = kMostNats;
  out["norms"] = columns_as_hex(signals.norms, out["norms_most"]);
  return out;
}

/// The data of one model for the page.
Json run_json(const hmrnn::HandwritingCheckpoint& checkpoint, const ChosenLines& chosen, const InkEvaluation& found,
              const hmrnn::AgreementOptions& agreement, size_t drawn, const std::string& run) {
  Json out = {{"model", model_json(checkpoint)},
              {"unit", "point"},
              {"eval", eval_json(checkpoint, chosen, found)},
              {"per_second", static_cast<double>(found.result.count) / std::max(found.result.seconds, 1e-9)}};
  out["lines"] = Json::array();
  for (size_t i = 0; i < drawn; ++i) out["lines"].push_back(signals_json(found.lines[i]));
  if (found.lines.at(0).z.size(1) == 0) return out;
  out["align"] = align_json(chosen, found, agreement, run);
  out["segments"] = segments_json(ink_boundaries(found, run));
  std::vector<torch::Tensor> z, probability;
  for (const auto& line : found.lines) z.push_back(line.z), probability.push_back(line.probability);
  out["certainty"] = certainty_json(torch::cat(probability), torch::cat(z));
  return out;
}

}  // namespace

int report_command(int argc, char** argv) {
  auto specs = model_options();
  specs.push_back({"out", "FILE", "the page, FILE.html"});
  specs.push_back({"lines", "N", "lines that are drawn (default: 4); figures are of all"});
  for (const auto& spec : corpus_options()) specs.push_back(spec);
  for (const auto& spec : agreement_options("points", 2)) specs.push_back(spec);
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments = Arguments::parse(
      "report",
      "Writes one self-contained page: a model's results on handwriting, and its training; "
      "several RUNs\n"
      "side by side. Its figures are those of `eval --json` and `align --json` with the same options.\n",
      specs, "run", argc, argv, "RUN");
  if (!arguments) return 0;

  std::vector<std::string> runs = {arguments->require("run")};
  runs.insert(runs.end(), arguments->rest().begin(), arguments->rest().end());
  const auto out = arguments->require("out");
  require_output("out", out, ".html", runs);
  const auto agreement = parse_agreement_options(*arguments, 2);
  const auto wanted = static_cast<size_t>(parse_integer("lines", arguments->get("lines", "4"), 1, 1000));
  const auto device = set_up_machine(*arguments);

  const auto names = run_names(runs);
  Json data = {{"title", fmt::format("{}", fmt::join(names, ", "))}, {"kind", "ink"}};
  data["runs"] = Json::array();
  std::vector<hmrnn::InkLine> shown;
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto file = hmrnn::RunFolder::find_model(runs[i]);
    auto checkpoint = hmrnn::load_handwriting(file);
    tell_about_model(*arguments, file, checkpoint.step, checkpoint.verified);
    checkpoint.model->to(device);
    const auto chosen = choose_lines(*arguments, checkpoint);
    const auto found = evaluate_ink(checkpoint, chosen, device, agreement.seed, runs[i], /*signals=*/true);
    const auto drawn = std::min(wanted, chosen.lines.size());
    if (i == 0) {
      data["text"] = {{"corpus", chosen.corpus.name}, {"split", chosen.split}};
      data["lines"] = Json::array();
    }
    for (size_t k = 0; k < drawn; ++k) {
      const auto& line = chosen.corpus.lines[chosen.lines[k]];
      if (i == 0) {
        shown.push_back(line);
        data["lines"].push_back({{"name", line.name}, {"points", points_json(line)}});
      } else if (k >= shown.size() || line.points != shown[k].points) {
        throw hmrnn::Error(runs[i] + " reads other lines than " + runs[0] +
                           "; --corpus and --split give them the same");
      }
    }
    auto run = run_json(checkpoint, chosen, found, agreement, drawn, runs[i]);
    run["name"] = names[i];
    run["training"] = training_json(runs[i]);
    data["runs"].push_back(run);
  }
  const auto page = report_page(data);
  hmrnn::write_file_atomically(out, [&](const auto& sink) { sink(page); });
  return 0;
}
