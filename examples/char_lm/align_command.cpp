// char_lm align
#include <fmt/format.h>

#include "hmrnn/analysis/text_events.h"
#include "hmrnn/data/text_corpus.h"
#include "hmrnn/error.h"
#include "hmrnn/run/printable.h"
#include "text_evaluation.h"

int align_command(int argc, char** argv) {
  auto specs = model_options();
  specs.push_back({"against", "WHAT",
                   "spaces, words (the last letter of each), or a FILE: the text with | after each boundary, or "
                   "FILE.json, a list of "
                   "positions (default: spaces and words; on synthetic the true syllables, words and phrases)"});
  for (const auto& spec : text_options("all")) specs.push_back(spec);
  for (const auto& spec : agreement_options("symbols", 0)) specs.push_back(spec);
  specs.push_back({"json", "", "print one JSON object and nothing else"});
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments =
      Arguments::parse("align",
                       "Precision, recall and F1 of each layer's boundaries against spaces, words, "
                       "or your own marks: pairs of one boundary\nand one event within K symbols. "
                       "Also of as many random boundaries, and of the best clock of the same rate.\n",
                       specs, "run", argc, argv);
  if (!arguments) return 0;

  const auto run = arguments->require("run");
  const auto options = parse_agreement_options(*arguments, 0);
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);
  const auto text = choose_text(*arguments, checkpoint);
  const auto events = choose_events(*arguments, text);
  const auto found = evaluate_text(checkpoint, text, 1, device, options.seed, run, /*signals=*/true);
  const auto json = align_json(checkpoint, text, found, events, options, run);
  if (arguments->has("json")) {
    fmt::print("{}", json_line(json));
    return 0;
  }
  fmt::print("{} of {}: {} {}s, pairs within {}, {} after their event\n\n{}", text.split, hmrnn::printable(text.corpus),
             found.result.count, unit_of(checkpoint.vocabulary), options.tolerance, options.shift,
             agreement_table(json["layers"]));
  return 0;
}
