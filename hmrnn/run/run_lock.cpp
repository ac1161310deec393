#include "hmrnn/run/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "hmrnn/error.h"
#include "hmrnn/io/file_descriptor.h"

namespace hmrnn {

RunLock::RunLock(const std::filesystem::path& folder)
    : folder_(std::make_unique<FileDescriptor>(open_file(folder, O_RDONLY | O_DIRECTORY))) {
  if (!folder_->valid()) throw_errno(folder, "cannot be opened", errno);
  while (flock(folder_->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) throw Error(folder.string() + ": another process is training into this run");
    failure_ = errno;
    return;
  }
}

RunLock::~RunLock() = default;

}  // namespace hmrnn
