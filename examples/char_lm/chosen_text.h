#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "commands.h"
#include "examples/program/figures.h"

/// The text for eval, align and report.
struct ChosenText {
  std::string split;    ///< split of the corpus
  std::string corpus;   ///< name of the corpus
  std::string source;   ///< for messages
  std::string bytes;    ///< N bytes, as the model reads them
  torch::Tensor index;  ///< uint8 [N]
  /// Synthetic corpus: the true ends of syllables, words and phrases, [N].
  std::vector<NamedEvents> truth;
};

/// --split, --corpus, --data-dir, --text, --characters and --unknown.
std::vector<OptionSpec> text_options(const std::string& default_characters);
/// The text that the model was trained on, or the one that the arguments name. `default_characters`: only its first
/// ones; 0: all.
ChosenText choose_text(const Arguments& arguments, const hmrnn::CharLMCheckpoint& checkpoint,
                       int64_t default_characters = 0);

/// Name of a symbol: "character", or "byte" if the vocabulary contains bytes that are not ASCII.
std::string unit_of(const hmrnn::Vocabulary& vocabulary);
