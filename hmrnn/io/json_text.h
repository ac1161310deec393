#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "hmrnn/error.h"

namespace hmrnn {

// JSON with untrusted text. Internal, not exported from the libraries.

/// The deepest nesting of arrays and objects that is accepted; the files of this project have a handful of levels.
constexpr size_t kJsonMaxDepth = 64;

/// Whether the brackets of `text`, outside of strings, nest deeper than kJsonMaxDepth.
inline bool nests_too_deep(std::string_view text) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kJsonMaxDepth) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

/// Parses `text`; returns a discarded document if it is not JSON or nests too deep. (The parser accepts any depth, but
/// copying and dumping a document recurse once per level and would overflow the stack.)
template <typename Json = nlohmann::json>
Json parse_json(std::string_view text) {
  if (nests_too_deep(text)) return Json(nlohmann::detail::value_t::discarded);
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

/// The string `object[key]`; empty if there is none, or something else.
template <typename Json>
std::string text_or_empty(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->template get<std::string>() : std::string();
}

/// `value` for an error message: on one line, truncated if long.
template <typename Json>
std::string excerpt(const Json& value) {
  constexpr size_t kLongest = 60;
  auto text = value.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::detail::error_handler_t::replace);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

/// `value` as text for a file. Throws Error naming the entry if a string in it, such as a path, is not UTF-8.
template <typename Json>
std::string stored_json(const Json& value) {
  try {
    return value.dump();
  } catch (const nlohmann::detail::type_error&) {
    const auto entries = value.flatten();
    for (const auto& [path, part] : entries.items()) {
      try {
        part.dump();
      } catch (const nlohmann::detail::type_error&) {
        throw Error("the entry " + path.substr(1) + " cannot be stored, since it is not UTF-8: " + excerpt(part));
      }
    }
    throw Error("a name of an entry cannot be stored, since it is not UTF-8");
  }
}

}  // namespace hmrnn
