#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "commands.h"
#include "examples/program/figures.h"

/// The text that eval, align and report look at.
struct ChosenText {
  std::string split;    ///< of the corpus
  std::string corpus;   ///< its name
  std::string source;   ///< for messages
  std::string bytes;    ///< N, as the model reads it
  torch::Tensor index;  ///< uint8 [N]
  /// Of the synthetic corpus: where its syllables, words and phrases truly end, [N].
  std::vector<NamedEvents> truth;
};

/// --split, --corpus, --data-dir, --text, --characters and --unknown.
std::vector<OptionSpec> text_options(const std::string& default_characters);
/// The text that the model was trained on unless the arguments say otherwise. `default_characters`: of its beginning;
/// 0: all of it.
ChosenText choose_text(const Arguments& arguments, const hmrnn::CharLMCheckpoint& checkpoint,
                       int64_t default_characters = 0);

/// What a symbol of the vocabulary is called: "character", or "byte" where symbols are bytes that are not characters.
std::string unit_of(const hmrnn::Vocabulary& vocabulary);
