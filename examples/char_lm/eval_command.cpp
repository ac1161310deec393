// char_lm eval
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "hmrnn/data/text_streams.h"
#include "hmrnn/error.h"
#include "hmrnn/tasks/evaluate_text.h"
#include "hmrnn/tasks/text_task.h"
#include "train_settings.h"

int eval_command(int argc, char** argv) {
  auto specs = model_options();
  const std::vector<OptionSpec> own = {
      {"split", "NAME", "train, valid, test or all (default: test)"},
      {"corpus", "CORPUS",
       "another text: ptb, text8, enwik8, synthetic or a file (default: the one it was trained on)"},
      {"data-dir", "DIR", "the corpus's folder"},
      {"streams", "N", "cut the text into N streams, each of which starts cold (default: 1)"},
      {"seed", "N", "of Bernoulli boundaries (default: 1)"},
      {"json", "", "print one JSON object and nothing else"}};
  specs.insert(specs.end(), own.begin(), own.end());
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments =
      Arguments::parse("eval", "Bits per character over a whole split. Each character but the first is scored once.\n",
                       specs, "run", argc, argv);
  if (!arguments) return 0;

  arguments->require("run");
  const auto split = arguments->get("split", "test");
  const auto streams = parse_integer("streams", arguments->get("streams", "1"), 1);
  const auto seed = static_cast<uint64_t>(parse_integer("seed", arguments->get("seed", "1"), 0));
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);

  auto options = hmrnn::options_to_load(checkpoint.corpus);
  if (arguments->has("corpus") && arguments->get("corpus", "") != options.corpus) {
    options = {};
    options.corpus = arguments->get("corpus", "");
  }
  if (arguments->has("data-dir")) options.data_dir = data_dir_of(options.corpus, arguments->get("data-dir", ""));
  options.vocabulary = checkpoint.vocabulary;
  const auto corpus = hmrnn::load_text_corpus(options);
  const hmrnn::TextStreams text(corpus.split(split), streams, hmrnn::kEvaluationWindow, /*exact=*/true,
                                "the " + split + " split of " + corpus.source);
  const auto result =
      hmrnn::evaluate_text(checkpoint.model, text, device, seed, {}, std::nullopt, checkpoint.boundaries).value();

  require_finite_result(result.loss, arguments->require("run"));
  const double bpc = hmrnn::bits_per_character(result.loss);
  const double bits = bpc * static_cast<double>(result.count);
  if (arguments->has("json")) {
    const nlohmann::ordered_json json = {
        {"split", split}, {"bpc", bpc}, {"bits", bits}, {"characters", result.count}, {"updates", result.updates}};
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("{} of {}: {:.4f} bits per character over {} characters ({:.0f} bits in all)\nupdates per character:",
               split, corpus.name, bpc, result.count, bits);
    for (const auto rate : result.updates) fmt::print(" {:.4f}", rate);
    fmt::print("\n");
  }
  return 0;
}
