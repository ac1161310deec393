#pragma once

#include <functional>
#include <string>

#include "examples/program/arguments.h"
#include "hmrnn/models/vocabulary.h"

/// Treatment of bytes that a model has no symbol for.
class UnknownBytes {
 public:
  /// The option --unknown.
  static OptionSpec option();
  /// From --unknown error|skip|SYMBOL (default: error). Throws hmrnn::Error if SYMBOL is not in `vocabulary`.
  UnknownBytes(const Arguments& arguments, const hmrnn::Vocabulary& vocabulary);

  /// `text` as the model reads it: without unknown bytes, or with SYMBOL in place of each. Throws hmrnn::Error naming
  /// `what` and the first unknown byte if they are errors.
  std::string known(const std::string& text, const std::string& what) const;
  /// Calls `read`; adds the option's name to an error about a byte that is not in a vocabulary.
  static void with_hint(const std::function<void()>& read);
  /// Whether unknown bytes are errors.
  bool are_errors() const { return policy_ == Policy::Error; }

 private:
  enum class Policy { Error, Skip, Replace };
  const hmrnn::Vocabulary& vocabulary_;
  Policy policy_ = Policy::Error;
  char symbol_ = 0;
};
