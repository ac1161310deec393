#pragma once

// A file in memory, for functions that take a path.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "tests/fuzz/replay.h"

class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("fuzz", 0)), path_("/proc/self/fd/" + std::to_string(descriptor_)) {}

  const std::string& path() const { return path_; }
  void put(const void* data, size_t size) const {
    if (descriptor_ < 0 || ::ftruncate(descriptor_, 0) != 0 ||
        ::pwrite(descriptor_, data, size, 0) != static_cast<ssize_t>(size)) {
      fail("cannot make a file in memory", path_);
    }
  }

 private:
  int descriptor_;
  std::string path_;
};
