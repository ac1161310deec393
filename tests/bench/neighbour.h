#pragma once

#include <sys/types.h>

namespace bench {

/// A process that keeps one core busy for its lifetime, as other work on a machine does. It ends with this process,
/// however that ends.
class BusyNeighbour {
 public:
  /// Throws hmrnn::Error if the system starts no process.
  BusyNeighbour();
  ~BusyNeighbour();
  BusyNeighbour(const BusyNeighbour&) = delete;
  BusyNeighbour& operator=(const BusyNeighbour&) = delete;

 private:
  pid_t process_;
};

}  // namespace bench
