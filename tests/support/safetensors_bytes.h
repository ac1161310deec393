// safetensors files as bytes: header and data separated, and files without checksums.
#pragma once

#include <cstdint>
#include <cstring>
#include <regex>
#include <string>

namespace hmrnn::test {

/// The header's text, without the padding, and the data.
struct SafetensorsBytes {
  std::string header, data;

  explicit SafetensorsBytes(const std::string& bytes) {
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    header = bytes.substr(8, length);
    header.erase(header.find_last_not_of(' ') + 1);
    data = bytes.substr(8 + length);
  }
  std::string join() const {
    auto text = header;
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t length = text.size();
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, 8);
    return bytes + text + data;
  }
};

/// The same file without its checksums, as an earlier version wrote it.
inline std::string without_checksums(const std::string& bytes) {
  SafetensorsBytes file(bytes);
  const std::string entry = R"re("hmrnn\.xxh3":"([^"\\]|\\.)*")re";
  file.header = std::regex_replace(file.header, std::regex("," + entry + "|" + entry + ",?"), "");
  return file.join();
}

}  // namespace hmrnn::test
