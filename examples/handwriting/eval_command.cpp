// handwriting eval
#include <fmt/format.h>

#include "commands.h"
#include "examples/program/output_file.h"
#include "hmrnn/run/printable.h"
#include "ink_evaluation.h"
#include "mixture_export.h"

int eval_command(int argc, char** argv) {
  auto specs = model_options();
  for (const auto& spec : corpus_options()) specs.push_back(spec);
  specs.push_back({"seed", "N", "of Bernoulli boundaries (default: 1)"});
  specs.push_back({"export", "FILE", "write the mixture of every scored point to FILE.safetensors; must not exist"});
  specs.push_back({"json", "", "print one JSON object and nothing else"});
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments =
      Arguments::parse("eval",
                       "Log-likelihood in nats over a whole split: the log density of the standardised points, each "
                       "given the previous ones,\n"
                       "summed over a line and averaged over lines. A line's first point is not scored.\n",
                       specs, "run", argc, argv);
  if (!arguments) return 0;

  arguments->require("run");
  const auto seed = static_cast<uint64_t>(parse_integer("seed", arguments->get("seed", "1"), 0));
  const auto target = arguments->get("export", "");
  if (!target.empty()) require_new_output("export", target, ".safetensors");
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);
  const auto chosen = choose_lines(*arguments, checkpoint);
  MixtureExport mixtures;
  hmrnn::InkVisitor visit;
  if (!target.empty()) {
    visit = [&](const auto& window, const auto& /*before*/, const auto& output) { mixtures.add(window, output); };
  }
  const auto run = arguments->require("run");
  const auto found = evaluate_ink(checkpoint, chosen, device, seed, run, /*signals=*/false, visit);
  if (!target.empty()) mixtures.write(target);
  const auto json = eval_json(checkpoint, chosen, found);
  if (arguments->has("json")) {
    fmt::print("{}", json_line(json));
    return 0;
  }
  const auto& result = found.result;
  const auto& n = checkpoint.normalisation;
  fmt::print(
      "{} of {}: log-likelihood {:.2f} nats a line, {:.4f} a point, over {} lines of {} scored points\n"
      "{} standardised by mean {:.3f}, {:.3f} and deviation {:.3f}, {:.3f}\nupdates per point:",
      chosen.split, hmrnn::printable(chosen.corpus.name), found.log_likelihood, -result.loss, chosen.lines.size(),
      result.count, hmrnn::to_string(n.coordinates), n.mean[0], n.mean[1], n.deviation[0], n.deviation[1]);
  for (const auto rate : result.updates) fmt::print(" {:.4f}", rate);
  fmt::print("\n{}", cost_text(json["cost"], "point"));
  return 0;
}
