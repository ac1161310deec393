#include "chosen_text.h"

#include <fmt/format.h>

#include "hmrnn/data/synthetic_text.h"
#include "hmrnn/data/text_corpus.h"
#include "hmrnn/error.h"
#include "train_settings.h"
#include "unknown.h"

namespace {

/// Offset of the split in the synthetic corpus.
int64_t begin_of(const hmrnn::TextCorpus& corpus, const std::string& split) {
  if (split == "valid") return corpus.train.numel();
  return split == "test" ? corpus.train.numel() + corpus.valid.numel() : 0;
}

/// The true ends of syllables, words and phrases of `length` symbols from `begin`.
std::vector<NamedEvents> true_ends(const hmrnn::TextCorpusOptions& options, int64_t begin, int64_t length) {
  const auto text = hmrnn::SyntheticTextGenerator(options.seed).next(begin + length);
  const auto part = [&](const std::vector<uint8_t>& marks) {
    return hmrnn::MarkSequences{{marks.begin() + begin, marks.begin() + begin + length}};
  };
  return {{"syllables", part(text.syllable_end)}, {"words", part(text.word_end)}, {"phrases", part(text.phrase_end)}};
}

}  // namespace

std::string unit_of(const hmrnn::Vocabulary& vocabulary) { return vocabulary.is_ascii() ? "character" : "byte"; }

std::vector<OptionSpec> text_options(const std::string& default_characters) {
  return {{"split", "NAME", "train, valid, test or all (default: test)"},
          {"corpus", "CORPUS",
           "another text: ptb, text8, enwik8, synthetic or a file (default: the one it was trained on)"},
          {"data-dir", "DIR", "the corpus's folder"},
          {"text", "FILE", "a file, all of it: the same as --corpus FILE --split all"},
          {"characters", "N", "only the first N symbols (default: " + default_characters + ")"},
          UnknownBytes::option()};
}

ChosenText choose_text(const Arguments& arguments, const hmrnn::CharLMCheckpoint& checkpoint,
                       int64_t default_characters) {
  for (const char* other : {"corpus", "data-dir", "split"}) {
    if (arguments.has("text") && arguments.has(other)) {
      throw hmrnn::Error(fmt::format("--text names the whole text; --{} is for a corpus", other));
    }
  }
  const auto limit = parse_integer("characters", arguments.get("characters", std::to_string(default_characters)),
                                   arguments.has("characters") ? 2 : 0);
  const UnknownBytes unknown(arguments, checkpoint.vocabulary);
  auto options = hmrnn::options_to_load(checkpoint.corpus);
  const auto corpus_name = arguments.get("text", arguments.get("corpus", options.corpus));
  if (corpus_name != options.corpus) {
    options = {};
    options.corpus = corpus_name;
  }
  if (arguments.has("data-dir")) options.data_dir = data_dir_of(options.corpus, arguments.get("data-dir", ""));
  if (unknown.are_errors()) options.vocabulary = checkpoint.vocabulary;
  hmrnn::TextCorpus corpus;
  UnknownBytes::with_hint([&] { corpus = hmrnn::load_text_corpus(options); });

  ChosenText out;
  out.split = arguments.get("split", arguments.has("text") ? "all" : "test");
  out.corpus = corpus.name;
  out.source = out.split == "all" ? corpus.source : "the " + out.split + " split of " + corpus.source;
  auto index = corpus.split(out.split);
  if (limit > 0 && limit < index.numel()) index = index.narrow(0, 0, limit);
  out.bytes = corpus.vocabulary.decode(index);
  if (options.corpus == "synthetic") {
    out.truth = true_ends(options, begin_of(corpus, out.split), static_cast<int64_t>(out.bytes.size()));
  }
  if (!unknown.are_errors()) {
    const auto size = out.bytes.size();
    out.bytes = unknown.known(out.bytes, out.source);
    if (out.bytes.size() != size) out.truth.clear();  // the marks no longer match
  }
  out.index = checkpoint.vocabulary.encode(out.bytes, out.source);
  return out;
}
