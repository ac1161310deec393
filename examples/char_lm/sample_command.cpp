// char_lm sample
#include <cstdio>

#include "commands.h"
#include "examples/program/standard_streams.h"
#include "hmrnn/models/char_lm_stream.h"
#include "hmrnn/run/random_state.h"

namespace {

/// What a text begins after when nothing else is said: a line end, else a space, else the first symbol.
uint8_t neutral_symbol(const hmrnn::Vocabulary& vocabulary) {
  for (const uint8_t byte : {uint8_t{'\n'}, uint8_t{' '}}) {
    if (vocabulary.contains(byte)) return byte;
  }
  return vocabulary.bytes()[0];
}

}  // namespace

int sample_command(int argc, char** argv) {
  auto specs = model_options();
  const std::vector<OptionSpec> own = {
      {"prime", "TEXT", "text to go on from (default: the start of a line)", {}, /*may_be_empty=*/true},
      {"length", "N", "characters to write (default: 500)"},
      {"temperature", "X", "divides the logits; 0: always the likeliest (default: 1)"},
      {"seed", "N", "of the draws (default: 1)"}};
  specs.insert(specs.end(), own.begin(), own.end());
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments =
      Arguments::parse("sample", "Prints TEXT and N characters that the model writes after it, and a line end.\n",
                       specs, "run", argc, argv);
  if (!arguments) return 0;

  arguments->require("run");
  const auto prime = arguments->get("prime", "");
  const auto length = parse_integer("length", arguments->get("length", "500"), 0);
  const auto temperature = parse_number("temperature", arguments->get("temperature", "1"), 0);
  const auto seed = static_cast<uint64_t>(parse_integer("seed", arguments->get("seed", "1"), 0));
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);
  const auto& vocabulary = checkpoint.vocabulary;

  const auto start = prime.empty() ? std::string(1, static_cast<char>(neutral_symbol(vocabulary))) : prime;
  auto next = vocabulary.encode(start, "--prime").to(torch::kInt64);
  std::fputs(prime.c_str(), stdout);
  std::fflush(stdout);

  auto generator = hmrnn::make_generator(seed);
  hmrnn::CharLMReader reader(checkpoint.model, seed);
  for (int64_t i = 0, read = 0; i < length && output_is_whole(); ++i) {
    const auto given = given_boundaries(checkpoint, next, read);
    read += next.size(0);
    const auto logits = reader.feed(next, given).logits;
    require_finite_result(logits.sum().item<double>(), arguments->require("run"));
    const auto symbol = hmrnn::sample_symbol(logits, temperature, generator);
    std::fputc(vocabulary.bytes()[static_cast<size_t>(symbol)], stdout);
    std::fflush(stdout);
    next = torch::full({1}, symbol, torch::kInt64);
  }
  std::fputc('\n', stdout);
  return 0;
}
