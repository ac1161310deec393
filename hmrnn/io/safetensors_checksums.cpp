#include "hmrnn/io/safetensors_checksums.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#define XXH_INLINE_ALL
#include <xxhash.h>
#undef XXH_INLINE_ALL

#include "hmrnn/error.h"
#include "hmrnn/io/json_text.h"

namespace hmrnn {
namespace {

bool is_checksum(const nlohmann::json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

std::string checksum_of(const void* data, size_t size) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(XXH3_64bits(data, size)));
  return text;
}

std::string checksum_of(const SafetensorsHeader& header) {
  nlohmann::json tensors = nlohmann::json::object();
  for (const auto& entry : header.entries) {
    tensors[entry.name] =
        nlohmann::json::array({std::string(safetensors_dtype_name(entry.dtype)), nlohmann::json(entry.shape)});
  }
  nlohmann::json metadata = header.metadata;
  metadata.erase(kChecksumKey);
  // Invalid UTF-8 is replaced here; format_safetensors_header rejects it later.
  const auto text = nlohmann::json{{"metadata", std::move(metadata)}, {"tensors", std::move(tensors)}}.dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace);
  return checksum_of(text.data(), text.size());
}

std::string SafetensorsChecksums::format() const {
  return nlohmann::json{{"header", header}, {"tensors", tensors}}.dump(-1, ' ', false,
                                                                       nlohmann::json::error_handler_t::replace);
}

SafetensorsChecksums SafetensorsChecksums::parse(const std::string& text, const std::string& path) {
  const auto document = parse_json(text);
  const bool known = document.is_object() && document.size() == 2 && document.contains("header") &&
                     document.contains("tensors") && is_checksum(document["header"]) &&
                     document["tensors"].is_object() &&
                     std::all_of(document["tensors"].begin(), document["tensors"].end(), is_checksum);
  if (!known) throw Error(path + ": the checksums under the metadata key " + kChecksumKey + " are malformed");
  return {document["header"].get<std::string>(), document["tensors"].get<std::map<std::string, std::string>>()};
}

std::optional<SafetensorsChecksums> take_checksums(SafetensorsHeader& header, const std::string& path) {
  const auto found = header.metadata.find(kChecksumKey);
  if (found == header.metadata.end()) return std::nullopt;
  auto checksums = SafetensorsChecksums::parse(found->second, path);
  header.metadata.erase(found);
  const bool complete = checksums.tensors.size() == header.entries.size() &&
                        std::all_of(header.entries.begin(), header.entries.end(), [&](const SafetensorsEntry& entry) {
                          return checksums.tensors.contains(entry.name);
                        });
  if (!complete) throw Error(path + ": the checksums under " + kChecksumKey + " are not of this file's tensors");
  if (checksums.header != checksum_of(header)) {
    throw Error(path +
                ": metadata, names, dtypes or shapes are not those that its checksum is of: the file is damaged, " +
                "or was edited (then delete the metadata key " + kChecksumKey + ")");
  }
  return checksums;
}

}  // namespace hmrnn
