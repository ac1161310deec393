#include "hmrnn/io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "hmrnn/error.h"

namespace hmrnn {
namespace {

constexpr std::array<std::pair<std::string_view, c10::ScalarType>, 10> kDtypes{{
    {"BOOL", c10::ScalarType::Bool},
    {"U8", c10::ScalarType::Byte},
    {"I8", c10::ScalarType::Char},
    {"I16", c10::ScalarType::Short},
    {"I32", c10::ScalarType::Int},
    {"I64", c10::ScalarType::Long},
    {"F16", c10::ScalarType::Half},
    {"BF16", c10::ScalarType::BFloat16},
    {"F32", c10::ScalarType::Float},
    {"F64", c10::ScalarType::Double},
}};

/// Parses the header event by event. A document tree would hide duplicate keys, and a malicious file could nest it to
/// any depth; this handler rejects any object or array that the format does not allow at its position. Errors are
/// thrown through the parser.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderHandler(const std::string& path, SafetensorsHeader* header) : path_(path), header_(header) {}

  // The public reader accepts null as empty metadata.
  bool null() override { return (place_ == Place::kTop && name_ == "__metadata__") || unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t& text) override { return unexpected("the number " + text); }
  bool binary(binary_t&) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return unexpected(std::to_string(value));
      if (entry_.shape.size() == kSafetensorsMaxDimensions) fail(subject() + " has more than 64 dimensions");
      entry_.shape.push_back(static_cast<int64_t>(value));
    } else if (place_ == Place::kOffsets) {
      if (offsets_ == 2) fail(subject() + " has more than two data_offsets");
      (offsets_++ == 0 ? entry_.begin : entry_.end) = value;
    } else {
      return unexpected("a number");
    }
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      header_->metadata[name_] = std::move(value);
    } else if (place_ == Place::kTensor && field_ == kDtype) {
      const auto known = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const auto& d) { return d.first == value; });
      if (known == kDtypes.end()) fail(subject() + " has the unknown dtype " + quote(value));
      entry_.dtype = known->second;
    } else {
      return unexpected("a string");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::kOutside) {
      place_ = Place::kTop;
    } else if (place_ == Place::kTop) {
      place_ = name_ == "__metadata__" ? Place::kMetadata : Place::kTensor;
      entry_ = SafetensorsEntry{name_, c10::ScalarType::Undefined, {}, 0, 0};
      fields_ = 0;
      offsets_ = 0;
    } else {
      return unexpected("an object");
    }
    return true;
  }

  bool key(string_t& value) override {
    if (place_ == Place::kTop) {
      if (!names_.insert(value).second) fail("the name " + quote(value) + " appears twice");
      name_ = std::move(value);
    } else if (place_ == Place::kMetadata) {
      if (header_->metadata.contains(value)) fail("the metadata key " + quote(value) + " appears twice");
      name_ = std::move(value);
    } else {
      field_ = value == "dtype" ? kDtype : value == "shape" ? kShape : value == "data_offsets" ? kOffsets : kNone;
      if (field_ == kNone) fail(subject() + " has the unknown field " + quote(value));
      if (fields_ & field_) fail(subject() + " has the field " + quote(value) + " twice");
      fields_ |= field_;
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) {
      if (!(fields_ & kDtype)) fail(subject() + " has no dtype");
      if (!(fields_ & kShape)) fail(subject() + " has no shape");
      if (!(fields_ & kOffsets)) fail(subject() + " has no data_offsets");
      header_->entries.push_back(std::move(entry_));
    }
    place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::kTensor || field_ == kDtype) return unexpected("an array");
    place_ = field_ == kShape ? Place::kShape : Place::kOffsets;
    return true;
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_ != 2) fail(subject() + " has fewer than two data_offsets");
    place_ = Place::kTensor;
    return true;
  }

  // The parser's message may quote raw bytes of the file and span several lines, so only the position is reported.
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    fail("the header is not valid UTF-8 JSON (near its byte " + std::to_string(position) + ")");
  }

 private:
  enum class Place { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };
  enum Field : unsigned { kNone = 0, kDtype = 1, kShape = 2, kOffsets = 4 };

  [[noreturn]] void fail(const std::string& what) const { throw Error(path_ + ": " + what); }
  std::string subject() const { return "tensor " + quote(entry_.name); }

  bool unexpected(const std::string& found) const {
    switch (place_) {
      case Place::kOutside:
        fail("the header must be a JSON object, found " + found);
      case Place::kTop:
        fail((name_ == "__metadata__" ? "__metadata__" : "tensor " + quote(name_)) + " must be a JSON object, found " +
             found);
      case Place::kMetadata:
        fail("the metadata of key " + quote(name_) + " must be a string, found " + found);
      case Place::kTensor:
        fail(subject() + ": " +
             (field_ == kDtype   ? "dtype must be a string"
              : field_ == kShape ? "shape must be an array"
                                 : "data_offsets must be an array") +
             ", found " + found);
      case Place::kShape:
        fail(subject() + ": shape must hold integers from 0 to 2^63 - 1, found " + found);
      case Place::kOffsets:
        fail(subject() + ": data_offsets must hold two non-negative integers, found " + found);
    }
    return false;
  }

  const std::string& path_;
  SafetensorsHeader* header_;
  Place place_ = Place::kOutside;
  std::unordered_set<std::string> names_;
  std::string name_;  ///< the last key of the top-level object or of the metadata
  SafetensorsEntry entry_{};
  unsigned fields_ = 0;  ///< fields of the entry seen so far, as bits
  Field field_ = kNone;  ///< the last key of the entry
  int offsets_ = 0;      ///< number of data_offsets seen so far
};

void check_layout(SafetensorsHeader& header, uint64_t data_size, const std::string& path) {
  // An empty tensor has the same begin as the next one: sort it before that.
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  uint64_t position = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    const std::string where = path + ": tensor " + quote(entry.name) + ": ";
    const auto size = safetensors_byte_size(entry.dtype, entry.shape);
    const std::string offsets = "data_offsets [" + std::to_string(entry.begin) + "," + std::to_string(entry.end) + "]";
    if (!size) throw Error(where + "the shape is too large");
    if (entry.end < entry.begin) throw Error(where + offsets + " end before they begin");
    if (entry.end - entry.begin != *size) {
      throw Error(where + offsets + " do not hold the " + std::to_string(*size) + " bytes of its dtype and shape");
    }
    if (entry.begin != position) {
      throw Error(where + offsets +
                  (entry.begin > position ? " leave a hole after byte " : " overlap the bytes before ") +
                  std::to_string(position));
    }
    position = entry.end;
    if (position > data_size) {
      throw Error(where + offsets + " go past the " + std::to_string(data_size) + " bytes of data in the file");
    }
  }
  if (position != data_size) {
    throw Error(path + ": " + std::to_string(data_size - position) + " bytes follow the last tensor");
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, uint64_t data_size, const std::string& path) {
  // The format forbids white space before the brace, but the public reader accepts it.
  const auto start = text.find_first_not_of(" \t\n\r");
  if (start == std::string_view::npos || text[start] != '{')
    throw Error(path + ": not a safetensors file: the header does not start with '{'");
  // The parser treats a zero byte as the end of its input and would ignore the rest.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    throw Error(path + ": the header is not valid UTF-8 JSON (near its byte " + std::to_string(zero + 1) + ")");
  }
  SafetensorsHeader header;
  HeaderHandler handler(path, &header);
  nlohmann::json::sax_parse(text.begin(), text.end(), &handler);
  check_layout(header, data_size, path);
  return header;
}

std::string format_safetensors_header(const SafetensorsHeader& header, const std::string& path) {
  // Built piece by piece: an ordered document searches for duplicates in quadratic time.
  const auto text = [&path](const std::string& value) {
    try {
      return nlohmann::json(value).dump();
    } catch (const nlohmann::json::exception&) {
      throw Error(path + ": cannot write " + quote(value) + ": not UTF-8");
    }
  };
  std::string out;
  const auto key = [&](const std::string& name) { out.append(out.empty() ? "{" : ",").append(text(name)).append(":"); };
  if (!header.metadata.empty()) {
    key("__metadata__");
    char separator = '{';
    for (const auto& [name, value] : header.metadata) {
      out += separator + text(name) + ":" + text(value);
      separator = ',';
    }
    out += "}";
  }
  for (const SafetensorsEntry& entry : header.entries) {
    key(entry.name);
    out += "{\"dtype\":\"" + std::string(safetensors_dtype_name(entry.dtype)) +
           "\",\"shape\":" + nlohmann::json(entry.shape).dump() + ",\"data_offsets\":[" + std::to_string(entry.begin) +
           "," + std::to_string(entry.end) + "]}";
  }
  return out.empty() ? "{}" : out + "}";
}

std::string_view safetensors_dtype_name(c10::ScalarType dtype) {
  for (const auto& [name, type] : kDtypes) {
    if (type == dtype) return name;
  }
  return {};
}

std::optional<uint64_t> safetensors_byte_size(c10::ScalarType dtype, const std::vector<int64_t>& shape) {
  // Strides are products of the dimensions too, so the other dimensions of an empty tensor must not overflow either.
  uint64_t product = c10::elementSize(dtype);
  bool empty = false;
  for (const int64_t size : shape) {
    if (size == 0) {
      empty = true;
    } else if (product > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / static_cast<uint64_t>(size)) {
      return std::nullopt;
    } else {
      product *= static_cast<uint64_t>(size);
    }
  }
  return empty ? 0 : product;
}

std::string quote(const std::string& text) {
  constexpr size_t kLongest = 120;
  std::string out = nlohmann::json(text.substr(0, kLongest))
                        .dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
  if (text.size() > kLongest) out.insert(out.size() - 1, "...");
  return out;
}

}  // namespace hmrnn
