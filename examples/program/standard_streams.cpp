#include "examples/program/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "hmrnn/error.h"

namespace {

[[noreturn]] void fail(const std::string& what, int error) {
  throw hmrnn::Error(what + (error == 0 ? "" : ": " + std::generic_category().message(error)));
}

}  // namespace

void open_standard_streams() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    // open() returns the lowest free descriptor, and all below are open. The wrong access mode makes every use fail.
    const int opened = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened != descriptor && opened >= 0) close(opened);
  }
}

bool output_is_whole() { return std::ferror(stdout) == 0; }

void require_whole_output() {
  const bool lost = !output_is_whole();
  errno = 0;
  if (std::fflush(stdout) != 0) fail("cannot write the standard output", errno);
  if (lost) fail("the standard output could not be written; a part of it is lost", 0);
}

void require_whole_input() {
  if (std::ferror(stdin) != 0) fail("cannot read the standard input", errno);
}
