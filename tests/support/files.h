// Whole files as strings, and error messages.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>

#include "catch.h"
#include "hmrnn/error.h"
#include "support/temporary_folder.h"

using hmrnn::test::TemporaryFolder;

inline void put(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

inline std::string get(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The message of the hmrnn::Error that `action` throws, which must be one line; another text if it throws none.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const hmrnn::Error& error) {
    const std::string message = error.what();
    CHECK(message.find('\n') == std::string::npos);
    return message;
  }
  return "(no hmrnn::Error was thrown)";
}
