// Sets of lineStrokes files for tests: in a folder, or in an archive.
#pragma once

#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <string>

#include "hmrnn/data/ink_xml.h"
#include "hmrnn/data/synthetic_ink.h"
#include "hmrnn/data/xz_file.h"
#include "support/files.h"

namespace hmrnn::test {

/// Whether archives can be read; if not, prints that the test is skipped.
inline bool archives_can_be_read() {
  if (!has_libarchive()) std::cout << "skipped: this build is without libarchive" << std::endl;
  return has_libarchive();
}

/// A tar archive (ustar) of the given files.
inline std::string tar(const std::map<std::string, std::string>& files) {
  std::string out;
  for (const auto& [name, bytes] : files) {
    char header[512] = {};
    std::snprintf(header, 100, "%s", name.c_str());
    std::snprintf(header + 100, 8, "%07o", 0644);
    std::snprintf(header + 124, 12, "%011o", static_cast<unsigned>(bytes.size()));
    std::snprintf(header + 136, 12, "%011o", 0);
    header[156] = '0';
    std::memcpy(header + 257, "ustar\00000", 8);
    std::memset(header + 148, ' ', 8);
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    std::snprintf(header + 148, 8, "%06o", sum);
    out.append(header, 512);
    out += bytes;
    out.append((512 - bytes.size() % 512) % 512, '\0');
  }
  return out + std::string(1024, '\0');
}

/// Three lines of synthetic ink at paths like IAM-OnDB's, and other files.
inline std::map<std::string, std::string> sample_files() {
  std::map<std::string, std::string> out;
  const auto lines = make_synthetic_ink(3, 4);
  out["lineStrokes/z/second.xml"] = format_ink_xml(lines[1]);
  out["lineStrokes/a01/a01-000/first.xml"] = format_ink_xml(lines[0]);
  out["lineStrokes/third.xml"] = format_ink_xml(lines[2]);
  out["lineStrokes/.DS_Store"] = "x";
  out["lineStrokes/a01/._first.xml"] = "a resource fork";
  out["lineStrokes/notes.txt"] = "notes";
  return out;
}

inline void unpack(const TemporaryFolder& folder, const std::map<std::string, std::string>& files) {
  for (const auto& [name, bytes] : files) folder.write(name, bytes);
}

}  // namespace hmrnn::test
