// char_lm sample
#include <unistd.h>

#include <cstdio>
#include <sstream>
#include <string_view>

#include "boundary_text.h"
#include "commands.h"
#include "examples/program/standard_streams.h"
#include "hmrnn/data/text_corpus.h"
#include "hmrnn/error.h"
#include "hmrnn/models/char_lm_stream.h"
#include "hmrnn/run/printable.h"
#include "hmrnn/run/random_state.h"
#include "unknown.h"

namespace {

/// The symbol that precedes a text without --prime: a line end, else a space, else the first symbol.
uint8_t neutral_symbol(const hmrnn::Vocabulary& vocabulary) {
  for (const uint8_t byte : {uint8_t{'\n'}, uint8_t{' '}}) {
    if (vocabulary.contains(byte)) return byte;
  }
  return vocabulary.bytes()[0];
}

/// Prints a text line by line with its boundaries z [bytes, L-1].
void print_marked(const std::string& text, const torch::Tensor& z, const BoundaryTextOptions& options) {
  std::istringstream lines(text);
  int64_t at = 0;
  for (std::string line; std::getline(lines, line); at += static_cast<int64_t>(line.size()) + 1) {
    const SegmentedLine found{line, z.narrow(0, at, static_cast<int64_t>(line.size())), {}};
    const auto shown = show_boundaries(found, options);
    std::fwrite(shown.data(), 1, shown.size(), stdout);
  }
}

/// Options of the command.
struct SampleOptions {
  std::string prime;   ///< as the model reads it; may be empty
  int64_t length = 0;  ///< number of symbols to write
  double temperature = 1;
  uint64_t seed = 1;
  bool marks = false;  ///< whether to show the boundaries
  std::string run;
};

/// Writes bytes of the text immediately; on a terminal, whole characters that cannot control it.
class TextWriter {
 public:
  void write(std::string_view bytes) {
    if (!terminal_) {
      std::fwrite(bytes.data(), 1, bytes.size(), stdout);
    } else {
      for (const char byte : bytes) std::fputs(shown_.add(byte).c_str(), stdout);
    }
    std::fflush(stdout);
  }
  void end() {
    std::fputs(shown_.end().c_str(), stdout);
    std::fputc('\n', stdout);
  }

 private:
  const bool terminal_ = isatty(STDOUT_FILENO) == 1;
  hmrnn::PrintableStream shown_;
};

void write_one(const hmrnn::CharLMCheckpoint& checkpoint, const SampleOptions& wish, torch::Generator& generator) {
  const auto& vocabulary = checkpoint.vocabulary;
  const auto& options = checkpoint.model->options;
  const auto start = wish.prime.empty() ? std::string(1, static_cast<char>(neutral_symbol(vocabulary))) : wish.prime;
  auto next = vocabulary.encode(start, "the text to go on from").to(torch::kInt64);
  TextWriter writer;
  if (!wish.marks) writer.write(wish.prime);
  hmrnn::CharLMReader reader(checkpoint.model, wish.seed);
  std::string text = start;
  std::vector<torch::Tensor> z;
  int64_t read = 0;
  const auto feed = [&] {
    const auto given = given_boundaries(checkpoint, next, read);
    read += next.size(0);
    auto result = reader.feed(next, given);
    require_finite_result(result.logits.sum().item<double>(), wish.run);
    if (wish.marks) z.push_back(result.z);
    return result.logits;
  };
  for (int64_t i = 0; i < wish.length && output_is_whole(); ++i) {
    const auto symbol = hmrnn::sample_symbol(feed(), wish.temperature, generator);
    const auto byte = static_cast<char>(vocabulary.bytes()[static_cast<size_t>(symbol)]);
    next = torch::full({1}, symbol, torch::kInt64);
    if (wish.marks) {
      text += byte;
      continue;
    }
    writer.write({&byte, 1});
  }
  if (!wish.marks) return writer.end();
  feed();                                             // for the boundary of the last symbol
  const size_t skipped = wish.prime.empty() ? 1 : 0;  // without the symbol that replaces --prime
  const bool soft = options.core() == hmrnn::Core::HMLSTM && options.boundary() == hmrnn::BoundaryMode::Soft;
  print_marked(text.substr(skipped),
               torch::cat(z).narrow(0, static_cast<int64_t>(skipped), static_cast<int64_t>(text.size() - skipped)),
               {soft, 0, BoundaryColour::Off});
}

}  // namespace

int sample_command(int argc, char** argv) {
  auto specs = model_options();
  const std::vector<OptionSpec> own = {
      {"prime", "TEXT", "text to continue (default: the start of a line)", {}, /*may_be_empty=*/true},
      {"prime-file", "FILE", "a file of such text"},
      {"length", "N", "characters to write (default: 500)"},
      {"count", "N", "texts to write, an empty line between them (default: 1)"},
      {"marks", "", "show the boundaries of each layer under the text, line by line"},
      {"temperature", "X", "divides the logits; 0: always the likeliest (default: 1)"},
      {"seed", "N", "of the draws (default: 1)"},
      UnknownBytes::option()};
  specs.insert(specs.end(), own.begin(), own.end());
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments =
      Arguments::parse("sample", "Prints TEXT and N characters that the model writes after it, and a line end.\n",
                       specs, "run", argc, argv);
  if (!arguments) return 0;

  SampleOptions wish;
  wish.run = arguments->require("run");
  if (arguments->has("prime") && arguments->has("prime-file")) {
    throw hmrnn::Error("--prime and --prime-file exclude each other");
  }
  wish.length = parse_integer("length", arguments->get("length", "500"), 0);
  wish.temperature = parse_number("temperature", arguments->get("temperature", "1"), 0);
  wish.seed = static_cast<uint64_t>(parse_integer("seed", arguments->get("seed", "1"), 0));
  wish.marks = arguments->has("marks");
  const auto count = parse_integer("count", arguments->get("count", "1"), 1, 1'000'000);
  const auto file = arguments->get("prime-file", "");
  const auto prime = file.empty() ? arguments->get("prime", "") : hmrnn::read_text_file(file);
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);
  wish.prime = UnknownBytes(*arguments, checkpoint.vocabulary).known(prime, file.empty() ? "--prime" : file);

  auto generator = hmrnn::make_generator(wish.seed);  // one generator for all texts, so that they differ
  for (int64_t i = 0; i < count && output_is_whole(); ++i, ++wish.seed) {
    if (i > 0) std::fputc('\n', stdout);
    write_one(checkpoint, wish, generator);
  }
  return 0;
}
