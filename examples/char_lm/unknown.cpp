#include "unknown.h"

#include "hmrnn/error.h"

OptionSpec UnknownBytes::option() {
  return {
      "unknown", "WHAT",
      "bytes that the model has no symbol for: error, skip (they are left out), or the SYMBOL to read in their place "
      "(default: error)"};
}

UnknownBytes::UnknownBytes(const Arguments& arguments, const hmrnn::Vocabulary& vocabulary) : vocabulary_(vocabulary) {
  const auto what = arguments.get("unknown", "error");
  if (what == "error") return;
  if (what == "skip") {
    policy_ = Policy::Skip;
    return;
  }
  if (what.size() != 1) throw hmrnn::Error("--unknown " + what + ": must be error, skip or one symbol");
  if (!vocabulary.contains(static_cast<uint8_t>(what[0]))) {
    throw hmrnn::Error("--unknown " + what + ": the model has no such symbol");
  }
  policy_ = Policy::Replace;
  symbol_ = what[0];
}

void UnknownBytes::with_hint(const std::function<void()>& read) {
  try {
    read();
  } catch (const hmrnn::Error& error) {
    const std::string text = error.what();
    if (!text.ends_with("not in the vocabulary")) throw;
    throw hmrnn::Error(text + " (see --unknown)");
  }
}

std::string UnknownBytes::known(const std::string& text, const std::string& what) const {
  if (policy_ == Policy::Error) {
    with_hint([&] { vocabulary_.encode(text, what); });  // throws the error
    return text;
  }
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (vocabulary_.contains(static_cast<uint8_t>(c))) {
      out += c;
    } else if (policy_ == Policy::Replace) {
      out += symbol_;
    }
  }
  return out;
}
