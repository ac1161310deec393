#pragma once

#include <filesystem>
#include <memory>

#include "hmrnn/export.h"

namespace hmrnn {

class FileDescriptor;

/// Keeps a second process from training into the same run folder: an advisory lock (flock) on the folder itself, which
/// ends with this object, or with the process, however that ends.
class HMRNN_API RunLock {
 public:
  /// Throws hmrnn::Error naming the folder if another RunLock holds it, or if it cannot be opened. A file system without
  /// locks is let pass.
  explicit RunLock(const std::filesystem::path& folder);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  std::unique_ptr<FileDescriptor> folder_;
};

}  // namespace hmrnn
