#include "hmrnn/analysis/text_events.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hmrnn/error.h"
#include "hmrnn/io/json_text.h"

namespace hmrnn {

namespace {

bool is_space(char c) { return c == ' ' || c == '\n'; }

}  // namespace

std::vector<uint8_t> space_marks(std::string_view text) {
  std::vector<uint8_t> out(text.size());
  for (size_t i = 0; i < text.size(); ++i) out[i] = is_space(text[i]) ? 1 : 0;
  return out;
}

std::vector<uint8_t> word_end_marks(std::string_view text) {
  std::vector<uint8_t> out(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    out[i] = !is_space(text[i]) && (i + 1 == text.size() || is_space(text[i + 1])) ? 1 : 0;
  }
  return out;
}

MarkedText read_marked_text(std::string_view marked, const std::string& what) {
  MarkedText out;
  for (const char c : marked) {
    if (c != '|') {
      out.text += c;
      out.events.push_back(0);
    } else if (!out.events.empty()) {
      out.events.back() = 1;
    }
  }
  if (std::find(out.events.begin(), out.events.end(), 1) == out.events.end()) {
    throw Error(what + " has no boundary: they are written as | into the text");
  }
  return out;
}

std::vector<uint8_t> read_positions(std::string_view json, size_t size, const std::string& what) {
  auto places = parse_json(json);
  if (places.is_object() && places.contains("positions")) places = nlohmann::json(places["positions"]);
  if (!places.is_array()) throw Error(what + ": neither a JSON list of positions nor an object with \"positions\"");
  std::vector<uint8_t> out(size);
  for (const auto& place : places) {
    if (!place.is_number_unsigned()) throw Error(what + ": " + excerpt(place) + " is not a position");
    if (place.get<uint64_t>() >= size) {
      throw Error(what + ": position " + place.dump() + " is not in a text of " + std::to_string(size) + " bytes");
    }
    out[place.get<uint64_t>()] = 1;
  }
  return out;
}

}  // namespace hmrnn
