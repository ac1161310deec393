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

  /// Why the folder could not be locked, an errno; 0: it is locked. A file system may have no locks (or, like NFS, none
  /// for folders): then nothing prevents a second process.
  int failure() const { return failure_; }

  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  std::unique_ptr<FileDescriptor> folder_;
  int failure_ = 0;
};

}  // namespace hmrnn
