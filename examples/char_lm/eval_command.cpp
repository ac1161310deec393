// char_lm eval
#include <fmt/format.h>

#include "hmrnn/run/printable.h"
#include "text_evaluation.h"

int eval_command(int argc, char** argv) {
  auto specs = model_options();
  for (const auto& spec : text_options("all")) specs.push_back(spec);
  const std::vector<OptionSpec> own = {
      {"streams", "N", "cut the text into N streams that start from zeros (default: 1)"},
      {"seed", "N", "of Bernoulli boundaries (default: 1)"},
      {"json", "", "print one JSON object and nothing else"}};
  specs.insert(specs.end(), own.begin(), own.end());
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments = Arguments::parse("eval",
                                          "Bits per character over a whole split (per byte if some symbols are not "
                                          "characters). Each character except the first is scored once.\n",
                                          specs, "run", argc, argv);
  if (!arguments) return 0;

  const auto run = arguments->require("run");
  const auto streams = parse_integer("streams", arguments->get("streams", "1"), 1);
  const auto seed = static_cast<uint64_t>(parse_integer("seed", arguments->get("seed", "1"), 0));
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);

  const auto text = choose_text(*arguments, checkpoint);
  const auto found = evaluate_text(checkpoint, text, streams, device, seed, run, /*signals=*/false);
  const auto json = eval_json(checkpoint, text, found);
  if (arguments->has("json")) {
    fmt::print("{}", json_line(json));
    return 0;
  }
  const auto unit = unit_of(checkpoint.vocabulary);
  fmt::print("{} of {}: {:.4f} bits per {} over {} {}s ({:.0f} bits in all)\nupdates per {}:", text.split,
             hmrnn::printable(text.corpus), json[unit == "byte" ? "bpb" : "bpc"].get<double>(), unit,
             found.result.count, unit, json["bits"].get<double>(), unit);
  for (const auto rate : found.result.updates) fmt::print(" {:.4f}", rate);
  fmt::print("\n{}", cost_text(json["cost"], unit));
  return 0;
}
