#pragma once

#include <string>

#include "examples/program/arguments.h"
#include "hmrnn/models/vocabulary.h"

/// What is done with bytes that a model has no symbol for.
class UnknownBytes {
 public:
  /// --unknown
  static OptionSpec option();
  /// Of --unknown error|skip|SYMBOL (default: error). Throws hmrnn::Error for a SYMBOL that is not one of `vocabulary`.
  UnknownBytes(const Arguments& arguments, const hmrnn::Vocabulary& vocabulary);

  /// `text` as the model reads it: without what it does not know, or with SYMBOL in place of each byte of it. Throws
  /// hmrnn::Error naming `what` and the first such byte where they are errors.
  std::string known(const std::string& text, const std::string& what) const;
  /// They are errors.
  bool are_errors() const { return policy_ == Policy::Error; }

 private:
  enum class Policy { Error, Skip, Replace };
  const hmrnn::Vocabulary& vocabulary_;
  Policy policy_ = Policy::Error;
  char symbol_ = 0;
};
