#pragma once

#include <filesystem>
#include <string>

#include "hmrnn/data/text_corpus.h"

namespace hmrnn::test {

/// Loads the corpus of this name, or file, from `dir`.
inline TextCorpus load_corpus(const std::string& corpus, const std::filesystem::path& dir = {},
                              const Vocabulary& vocabulary = {}) {
  TextCorpusOptions options;
  options.corpus = corpus;
  options.data_dir = dir;
  options.vocabulary = vocabulary;
  return load_text_corpus(options);
}

/// The characters of a split.
inline std::string text_of(const TextCorpus& corpus, const std::string& split) {
  return corpus.vocabulary.decode(corpus.split(split));
}

}  // namespace hmrnn::test
