// handwriting align
#include <fmt/format.h>

#include "hmrnn/run/printable.h"
#include "ink_evaluation.h"

int align_command(int argc, char** argv) {
  auto specs = model_options();
  for (const auto& spec : corpus_options()) specs.push_back(spec);
  for (const auto& spec : agreement_options("points", 2)) specs.push_back(spec);
  specs.push_back({"json", "", "print one JSON object and nothing else"});
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments = Arguments::parse("align",
                                          "Precision, recall and F1 of each layer's boundaries against the points "
                                          "where the pen is lifted (and on synthetic ink\n"
                                          "against the ends of words): pairs of one boundary and one event within K "
                                          "points. Also of as many random\n"
                                          "boundaries, and of the best clock of the same rate.\n",
                                          specs, "run", argc, argv);
  if (!arguments) return 0;

  const auto run = arguments->require("run");
  const auto options = parse_agreement_options(*arguments, 2);
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);
  const auto chosen = choose_lines(*arguments, checkpoint);
  const auto found = evaluate_ink(checkpoint, chosen, device, options.seed, run, /*signals=*/true);
  const auto json = align_json(chosen, found, options, run);
  if (arguments->has("json")) {
    fmt::print("{}", json_line(json));
    return 0;
  }
  fmt::print("{} of {}: {} lines, pairs within {} points, {} after their event\n\n{}", chosen.split,
             hmrnn::printable(chosen.corpus.name), chosen.lines.size(), options.tolerance, options.shift,
             agreement_table(json["layers"]));
  return 0;
}
