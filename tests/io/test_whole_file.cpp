#include <sys/stat.h>

#include <iostream>

#include "catch.h"
#include "hmrnn/io/whole_file.h"
#include "support/files.h"

TEST_CASE("a regular file is read whole; what is none is named, without waiting for it") {
  const TemporaryFolder folder;
  const std::string bytes = std::string(3'000'000, 'x') + std::string("\0\n\r\xff", 4);
  CHECK(hmrnn::read_whole_file(folder.write("file", bytes)) == bytes);
  CHECK(hmrnn::read_whole_file(folder.write("file", "")).empty());
  CHECK_FALSE(hmrnn::read_whole_file("/proc/self/status").empty());  // a regular file whose size is reported as 0
  const auto none = folder / "none";
  CHECK(error_of([&] { hmrnn::read_whole_file(none); }) ==
        "cannot open " + none.string() + ": No such file or directory");
  CHECK(error_of([&] { hmrnn::read_whole_file(folder.path); }) == folder.path.string() + " is a folder, not a file");
  const auto pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(error_of([&] { hmrnn::read_whole_file(pipe); }) == pipe.string() + " is not a regular file");
  CHECK(error_of([] { hmrnn::read_whole_file("/dev/zero"); }) == "/dev/zero is not a regular file");
}

TEST_CASE("a file that memory cannot hold is refused before it is read") {
  const TemporaryFolder folder;
  const auto path = folder.write("sparse", "");
  constexpr uint64_t kSize = uint64_t{1} << 42;
  std::error_code error;
  std::filesystem::resize_file(path, kSize, error);
  if (error) {
    std::cout << "skipped: this file system has no files of " << kSize << " bytes" << std::endl;
    return;
  }
  CHECK(error_of([&] { hmrnn::read_whole_file(path); }) ==
        path.string() + ": not enough memory for its " + std::to_string(kSize) + " bytes");
}

TEST_CASE("a decompression bomb is distinguished from a file that was packed well") {
  const uint64_t mebibyte = 1 << 20;
  CHECK_NOTHROW(hmrnn::limit_decompression("f", 1, 256 * mebibyte));  // any file may decompress to this size
  CHECK(error_of([&] { hmrnn::limit_decompression("f", 1000, 256 * mebibyte + 1); }) ==
        "f decompresses to more than 256 MiB and 200 times its own size, which no honest file does");
  CHECK_NOTHROW(hmrnn::limit_decompression("f", 5 * mebibyte, 1000 * mebibyte));
  CHECK_THROWS_AS(hmrnn::limit_decompression("f", 5 * mebibyte, 1006 * mebibyte), hmrnn::Error);
}
