#include "bench/neighbour.h"

#include <signal.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include "hmrnn/error.h"

namespace bench {

BusyNeighbour::BusyNeighbour() {
  const pid_t parent = getpid();
  process_ = fork();
  if (process_ < 0) throw hmrnn::Error("--neighbour: the system starts no process");
  if (process_ > 0) return;
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  // Only calls that are safe after a fork of a process with threads. The parent may have ended before prctl.
  volatile unsigned long count = 0;
  for (;;) {
    count = count + 1;
    if (count % (1UL << 24) == 0 && getppid() != parent) _exit(0);
  }
}

BusyNeighbour::~BusyNeighbour() {
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

}  // namespace bench
