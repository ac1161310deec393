// handwriting align
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "commands.h"
#include "hmrnn/analysis/alignment.h"
#include "hmrnn/error.h"
#include "hmrnn/tasks/evaluate_ink.h"

namespace {

using Marks = std::vector<uint8_t>;

nlohmann::ordered_json figures(const hmrnn::Alignment& alignment) {
  return {{"precision", alignment.precision()}, {"recall", alignment.recall()}, {"f1", alignment.f1()}};
}

/// Sums one layer's agreement with one kind of event over all lines.
nlohmann::ordered_json compare(const std::vector<Marks>& boundaries, const std::vector<Marks>& events,
                               int64_t tolerance, int64_t draws, hmrnn::SplitMix64& random) {
  hmrnn::Alignment found, chance;
  for (size_t s = 0; s < boundaries.size(); ++s) {
    found += hmrnn::align_boundaries(boundaries[s], events[s], tolerance);
    chance += hmrnn::align_at_chance(boundaries[s], events[s], tolerance, draws, random);
  }
  auto json = figures(found);
  json["boundaries"] = static_cast<int64_t>(found.boundaries);
  json["events"] = static_cast<int64_t>(found.events);
  json["chance"] = figures(chance);
  return json;
}

}  // namespace

int align_command(int argc, char** argv) {
  auto specs = model_options();
  for (const auto& spec : corpus_options()) specs.push_back(spec);
  specs.push_back({"tolerance", "K", "points that a boundary may be away from an event (default: 2)"});
  specs.push_back({"draws", "N", "throws of random boundaries for the chance level (default: 10)"});
  specs.push_back({"seed", "N", "of the chance level, and of Bernoulli boundaries (default: 1)"});
  specs.push_back({"json", "", "print one JSON object and nothing else"});
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments = Arguments::parse("align",
                                          "Precision, recall and F1 of each layer's boundaries against the points "
                                          "where the pen is lifted (and on synthetic ink\n"
                                          "against the ends of words), pairs of one boundary and one event within K "
                                          "points; and of as many boundaries thrown at\n"
                                          "random.\n",
                                          specs, "run", argc, argv);
  if (!arguments) return 0;

  const auto run = arguments->require("run");
  const auto tolerance = parse_integer("tolerance", arguments->get("tolerance", "2"), 0, 1'000'000);
  const auto draws = parse_integer("draws", arguments->get("draws", "10"), 1, 10'000);
  const auto seed = static_cast<uint64_t>(parse_integer("seed", arguments->get("seed", "1"), 0));
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);
  const auto& model_options = checkpoint.model->options;
  const auto detectors = static_cast<int64_t>(model_options.hidden_sizes().size()) - 1;
  if (model_options.core() == hmrnn::Core::LSTM || detectors < 1) {
    throw hmrnn::Error(run + ": this model has no boundary detectors");
  }
  const auto chosen = choose_lines(*arguments, checkpoint);

  // z of every point but each line's last, where evaluation stops.
  std::vector<std::vector<Marks>> boundaries(static_cast<size_t>(detectors));
  std::vector<Marks> pen_ups, word_ends;
  for (const auto index : chosen.lines) {
    const auto& line = chosen.corpus.lines[index];
    for (auto& layer : boundaries) layer.emplace_back();
    pen_ups.emplace_back();
    for (size_t i = 0; i + 1 < line.points.size(); ++i) pen_ups.back().push_back(line.points[i].pen_up ? 1 : 0);
    if (line.word_end.empty()) continue;
    word_ends.emplace_back(line.word_end.begin(), line.word_end.end() - 1);
  }
  const auto batches = chosen.batches(checkpoint.normalisation);
  const auto result =
      hmrnn::evaluate_ink(checkpoint.model, batches, device, seed, {}, std::nullopt,
                          [&](const hmrnn::InkWindow& window, const hmrnn::HandwritingOutput& output) {
                            const auto z = output.core.z.gt(0.5).cpu().contiguous();
                            const auto* fires = z.data_ptr<bool>();
                            const auto rows = z.size(1);
                            for (int64_t b = 0; b < rows; ++b) {
                              const auto live = window.lengths[b].item<int64_t>();
                              for (int64_t l = 0; l < detectors; ++l) {
                                auto& marks = boundaries[static_cast<size_t>(l)][window.rows[static_cast<size_t>(b)]];
                                for (int64_t t = 0; t < live; ++t)
                                  marks.push_back(fires[(t * rows + b) * detectors + l] ? 1 : 0);
                              }
                            }
                          });
  require_finite_result(result.value().loss, run);

  hmrnn::SplitMix64 random(seed);
  nlohmann::ordered_json json = {{"split", chosen.split}, {"sequences", chosen.lines.size()}, {"tolerance", tolerance}};
  json["layers"] = nlohmann::ordered_json::array();
  for (int64_t l = 0; l < detectors; ++l) {
    const auto& layer = boundaries[static_cast<size_t>(l)];
    nlohmann::ordered_json entry = {{"layer", l + 1}};
    entry["pen_up"] = compare(layer, pen_ups, tolerance, draws, random);
    if (word_ends.size() == layer.size()) entry["word_end"] = compare(layer, word_ends, tolerance, draws, random);
    json["layers"].push_back(entry);
  }
  if (arguments->has("json")) {
    fmt::print("{}\n", json.dump());
    return 0;
  }
  fmt::print("{} of {}: {} lines, pairs within {} points\n\n", chosen.split, chosen.corpus.name, chosen.lines.size(),
             tolerance);
  fmt::print("{:<6} {:<10} {:>10} {:>8} {:>10} {:>8} {:>8}   {}\n", "layer", "event", "boundaries", "events",
             "precision", "recall", "F1", "by chance: precision, recall, F1");
  for (const auto& entry : json["layers"]) {
    for (const char* event : {"pen_up", "word_end"}) {
      if (!entry.contains(event)) continue;
      const auto& e = entry[event];
      const auto number = [](const nlohmann::ordered_json& of, const char* key) { return of[key].get<double>(); };
      fmt::print("z{:<5} {:<10} {:>10} {:>8} {:>10.3f} {:>8.3f} {:>8.3f}   {:.3f} {:.3f} {:.3f}\n",
                 entry["layer"].get<int>(), event, e["boundaries"].get<int64_t>(), e["events"].get<int64_t>(),
                 number(e, "precision"), number(e, "recall"), number(e, "f1"), number(e["chance"], "precision"),
                 number(e["chance"], "recall"), number(e["chance"], "f1"));
    }
  }
  return 0;
}
