// handwriting eval
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "commands.h"
#include "hmrnn/error.h"
#include "hmrnn/tasks/evaluate_ink.h"
#include "mixture_export.h"

int eval_command(int argc, char** argv) {
  auto specs = model_options();
  for (const auto& spec : corpus_options()) specs.push_back(spec);
  specs.push_back({"seed", "N", "of Bernoulli boundaries (default: 1)"});
  specs.push_back({"export", "FILE", "write the mixture of every scored point to FILE.safetensors"});
  specs.push_back({"json", "", "print one JSON object and nothing else"});
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments =
      Arguments::parse("eval",
                       "Log-likelihood in nats over a whole split: the log density of the standardised points, each "
                       "given those before it,\n"
                       "summed over a line and averaged over lines. A line's first point is given, not scored.\n",
                       specs, "run", argc, argv);
  if (!arguments) return 0;

  arguments->require("run");
  const auto seed = static_cast<uint64_t>(parse_integer("seed", arguments->get("seed", "1"), 0));
  const auto target = arguments->get("export", "");
  if (!target.empty() && !target.ends_with(".safetensors")) {
    throw hmrnn::Error("--export " + target + ": the name must end in .safetensors");
  }
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);
  const auto chosen = choose_lines(*arguments, checkpoint);
  const auto batches = chosen.batches(checkpoint.normalisation);
  MixtureExport mixtures;
  hmrnn::InkVisitor visit;
  if (!target.empty()) visit = [&](const auto& window, const auto& output) { mixtures.add(window, output); };
  const auto result = hmrnn::evaluate_ink(checkpoint.model, batches, device, seed, {}, std::nullopt, visit).value();
  require_finite_result(result.loss, arguments->require("run"));
  if (!target.empty()) mixtures.write(target);

  const double log_likelihood =
      -result.loss * static_cast<double>(result.count) / static_cast<double>(batches.sequences());
  if (arguments->has("json")) {
    const nlohmann::ordered_json json = {
        {"split", chosen.split},
        {"sequences", batches.sequences()},
        {"points", result.count},
        {"log_likelihood", log_likelihood},
        {"nll_per_point", result.loss},
        {"normalisation", nlohmann::ordered_json::parse(hmrnn::describe_normalisation(checkpoint.normalisation))},
        {"updates", result.updates}};
    fmt::print("{}\n", json.dump());
    return 0;
  }
  const auto& n = checkpoint.normalisation;
  fmt::print(
      "{} of {}: log-likelihood {:.2f} nats a line, {:.4f} a point, over {} lines of {} scored points\n"
      "{} standardised by mean {:.3f}, {:.3f} and deviation {:.3f}, {:.3f}\nupdates per point:",
      chosen.split, chosen.corpus.name, log_likelihood, -result.loss, batches.sequences(), result.count,
      hmrnn::to_string(n.coordinates), n.mean[0], n.mean[1], n.deviation[0], n.deviation[1]);
  for (const auto rate : result.updates) fmt::print(" {:.4f}", rate);
  fmt::print("\n");
  return 0;
}
