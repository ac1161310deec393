#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "catch.h"
#include "hmrnn/io/file_descriptor.h"
#include "support/files.h"

using namespace hmrnn;

namespace {

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

}  // namespace

TEST_CASE("a descriptor is closed once, at the end of its scope or before") {
  const TemporaryFolder folder;
  put(folder / "file", "x");
  int number = -1;
  {
    const FileDescriptor file(open_file(folder / "file", O_RDONLY));
    REQUIRE(file.valid());
    number = file.get();
    CHECK(is_open(number));
    CHECK((::fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK_FALSE(is_open(number));

  FileDescriptor file(open_file(folder / "file", O_RDONLY));
  CHECK(file.close() == 0);
  CHECK_FALSE(file.valid());
  CHECK(file.close() == 0);  // nothing left to close
}

TEST_CASE("a released descriptor is the caller's") {
  const TemporaryFolder folder;
  put(folder / "file", "x");
  int number = -1;
  {
    FileDescriptor file(open_file(folder / "file", O_RDONLY));
    number = file.release();
    CHECK_FALSE(file.valid());
  }
  CHECK(is_open(number));
  CHECK(::close(number) == 0);
}

TEST_CASE("closing a descriptor that is not open is reported") {
  const TemporaryFolder folder;
  put(folder / "file", "x");
  FileDescriptor file(open_file(folder / "file", O_RDONLY));
  ::close(file.get());
  CHECK(file.close() == EBADF);
}

TEST_CASE("a file that is not there is no descriptor, with the reason in errno") {
  const TemporaryFolder folder;
  errno = 0;
  const FileDescriptor file(open_file(folder / "gone", O_RDONLY));
  CHECK(errno == ENOENT);
  CHECK_FALSE(file.valid());
}

TEST_CASE("all bytes pass through a pipe that holds fewer") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  FileDescriptor out(ends[0]), in(ends[1]);
  std::string sent;
  for (int i = 0; i < 500'000; ++i) sent += static_cast<char>(i * 7);  // a pipe's buffer has 64 KiB
  int write_error = -1;
  std::thread writer([&] {
    write_error = write_fully(in.get(), sent);
    in.close();
  });
  std::string received(sent.size() + 100, '\0');
  size_t count = 0;
  const int read_error = read_fully(out.get(), received.data(), received.size(), &count);
  writer.join();
  CHECK(write_error == 0);
  CHECK(read_error == 0);
  REQUIRE(count == sent.size());  // fewer than requested: the writer has closed
  received.resize(count);
  CHECK(received == sent);
}

TEST_CASE("what cannot be read or written gives its errno") {
  const TemporaryFolder folder;
  put(folder / "file", "abc");
  const FileDescriptor reading(open_file(folder / "file", O_RDONLY)), writing(open_file(folder / "file", O_WRONLY));
  char byte = 0;
  size_t count = 1;
  CHECK(write_fully(reading.get(), "x") == EBADF);
  CHECK(read_fully(writing.get(), &byte, 1, &count) == EBADF);
  CHECK(count == 0);
  CHECK(sync_file(writing.get()) == 0);
  CHECK(sync_file(-1) == EBADF);
  CHECK(get(folder / "file") == "abc");
}

TEST_CASE("an errno becomes one line with the path") {
  CHECK(error_of([] { throw_errno("some/file", "cannot read", ENOENT); }) ==
        "some/file: cannot read: No such file or directory");
}
