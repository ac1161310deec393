#pragma once

#include <filesystem>
#include <memory>

#include "hmrnn/export.h"

namespace hmrnn {

class FileDescriptor;

/// Prevents two processes from training in the same run folder: an advisory lock (flock) on the folder, released by the
/// destructor or by the end of the process, however it ends.
class HMRNN_API RunLock {
 public:
  /// Throws hmrnn::Error naming the folder if another RunLock holds it, or if it cannot be opened.
  explicit RunLock(const std::filesystem::path& folder);
  ~RunLock();

  /// Whether the folder is locked. On a file system without locks it is not, and nothing prevents a second process.
  bool locked() const { return locked_; }

  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  std::unique_ptr<FileDescriptor> folder_;
  bool locked_ = false;
};

}  // namespace hmrnn
