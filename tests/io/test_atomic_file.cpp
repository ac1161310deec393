#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <set>

#include "catch.h"
#include "hmrnn/io/atomic_file.h"
#include "support/files.h"

namespace {

using Sink = std::function<void(std::string_view)>;

void write_text(const std::filesystem::path& path, const std::string& text) {
  hmrnn::write_file_atomically(path, [&](const Sink& sink) { sink(text); });
}

}  // namespace

TEST_CASE("a file is written, then replaced, and no temporary file stays") {
  const TemporaryFolder folder;
  write_text(folder / "a", "first");
  CHECK(get(folder / "a") == "first");
  write_text(folder / "a", "2");
  CHECK(get(folder / "a") == "2");
  write_text(folder / "a", "");
  CHECK(get(folder / "a").empty());
  CHECK(folder.count() == 1);
}

TEST_CASE("small and large pieces arrive in order") {
  const TemporaryFolder folder;
  std::string expected;
  hmrnn::write_file_atomically(folder / "a", [&](const Sink& sink) {
    for (int i = 0; i < 2000; ++i) {
      // Sizes on both sides of any buffer size.
      const std::string piece(i % 97 == 0 ? 300'000 : static_cast<size_t>(i % 700), static_cast<char>('a' + i % 26));
      sink(piece);
      expected += piece;
    }
  });
  CHECK(get(folder / "a") == expected);
}

TEST_CASE("readers see the old file until the new one is whole") {
  const TemporaryFolder folder;
  put(folder / "a", "old");
  hmrnn::write_file_atomically(folder / "a", [&](const Sink& sink) {
    sink(std::string(1 << 20, 'x'));
    CHECK(get(folder / "a") == "old");
    CHECK(folder.count() == 2);
  });
  CHECK(get(folder / "a") == std::string(1 << 20, 'x'));
}

TEST_CASE("the new file's mode follows the umask") {
  const TemporaryFolder folder;
  for (const mode_t mask : {0022, 0077, 0002}) {
    const mode_t before = ::umask(mask);
    write_text(folder / "a", "x");
    ::umask(before);
    struct stat status;
    REQUIRE(::stat((folder / "a").c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == (0666 & ~mask));
  }
}

TEST_CASE("a relative name without a folder and names of 255 bytes work") {
  const TemporaryFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path);
  const std::string long_name(255, 'n');
  write_text("plain", "x");
  write_text(long_name, "y");
  std::filesystem::current_path(before);
  CHECK(get(folder / "plain") == "x");
  CHECK(get(folder / long_name) == "y");
}

TEST_CASE("a symbolic link is replaced, what it points to stays") {
  const TemporaryFolder folder;
  put(folder / "target", "old");
  std::filesystem::create_symlink("target", folder / "link");
  write_text(folder / "link", "new");
  CHECK(get(folder / "target") == "old");
  CHECK(get(folder / "link") == "new");
  CHECK_FALSE(std::filesystem::is_symlink(folder / "link"));
}

TEST_CASE("an exception of the callback passes through and leaves nothing behind") {
  const TemporaryFolder folder;
  put(folder / "a", "old");
  const auto write = [](const Sink& sink) {
    sink("half of the ne");
    throw std::length_error("mine");
  };
  CHECK_THROWS_AS(hmrnn::write_file_atomically(folder / "a", write), std::length_error);
  CHECK(get(folder / "a") == "old");
  CHECK(folder.count() == 1);
  CHECK_THROWS_AS(hmrnn::write_file_atomically(folder / "b", write), std::length_error);
  CHECK(folder.count() == 1);
}

TEST_CASE("errors name the path and the reason") {
  const TemporaryFolder folder;
  const auto missing = folder / "no/such";
  CHECK(error_of([&] { write_text(missing, "x"); }) ==
        missing.string() + ": cannot open its folder: No such file or directory");

  put(folder / "file", "x");
  const auto below = folder / "file/a";
  CHECK(error_of([&] { write_text(below, "x"); }) == below.string() + ": cannot open its folder: Not a directory");

  std::filesystem::create_directory(folder / "folder");
  CHECK(error_of([&] { write_text(folder / "folder", "x"); }) ==
        (folder / "folder").string() + ": cannot write: not a regular file");
  CHECK(error_of([&] { write_text(folder.path.string() + "/", "x"); }) ==
        folder.path.string() + "/: cannot write: not the name of a file");

  const auto long_name = folder / std::string(256, 'n');
  CHECK(error_of([&] { write_text(long_name, "x"); }) == long_name.string() + ": cannot replace: File name too long");
  CHECK(folder.count() == 2);
}

TEST_CASE("devices are never replaced, nor links to them") {
  const TemporaryFolder folder;
  CHECK(error_of([] { write_text("/dev/full", "x"); }) == "/dev/full: cannot write: not a regular file");
  CHECK(std::filesystem::is_character_file("/dev/full"));
  const auto link = (folder / "to_full").string();
  std::filesystem::create_symlink("/dev/full", link);
  CHECK(error_of([&] { write_text(link, "x"); }) == link + ": cannot write: not a regular file");
  CHECK(std::filesystem::is_symlink(link));
  // As /dev/stdout: a link to a descriptor of this process, here of a regular file.
  std::FILE* file = std::fopen((folder / "file").c_str(), "w");
  REQUIRE(file);
  const auto output = (folder / "output").string();
  std::filesystem::create_symlink("/proc/self/fd/" + std::to_string(fileno(file)), output);
  CHECK(error_of([&] { write_text(output, "x"); }) == output + ": cannot write: not a regular file");
  CHECK(std::filesystem::is_symlink(output));
  std::fclose(file);
}

TEST_CASE("a folder without write permission") {
  const TemporaryFolder folder;
  put(folder / "a", "old");
  std::filesystem::permissions(folder.path, static_cast<std::filesystem::perms>(0555));
  const bool root = ::geteuid() == 0;
  // Root may write anywhere, so switch to another user for a moment.
  if (root && ::seteuid(65534) != 0) {
    std::cout << "skipped: root cannot become another user here\n";
    return;
  }
  const std::string text = error_of([&] { write_text(folder / "a", "new"); });
  if (root) REQUIRE(::seteuid(0) == 0);
  std::filesystem::permissions(folder.path, static_cast<std::filesystem::perms>(0755));
  CHECK_THAT(text, ContainsSubstring((folder / "a").string() + ": cannot "));
  CHECK_THAT(text, ContainsSubstring(": Permission denied"));
  CHECK(get(folder / "a") == "old");
  CHECK(folder.count() == 1);
}

TEST_CASE("a disk that takes only a part of the file") {
  const TemporaryFolder folder;
  put(folder / "a", "old");
  // A limit on the size of files truncates one write and fails the next, as a full disk does.
  struct rlimit before;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit limit { 100'000, before.rlim_max };
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  const std::string large = error_of([&] { write_text(folder / "a", std::string(1'000'000, 'x')); });
  const std::string buffered = error_of([&] { write_text(folder / "a", std::string(150'000, 'x')); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  CHECK(large == (folder / "a").string() + ": cannot write: File too large");
  CHECK(buffered == large);
  CHECK(get(folder / "a") == "old");
  CHECK(folder.count() == 1);
}

TEST_CASE(
    "temporary files of killed processes are removed by the next write of the same file, those of living ones and "
    "others stay") {
  const TemporaryFolder folder;
  const auto old = std::filesystem::file_time_type::clock::now() - std::chrono::minutes(2);
  const auto put_aged = [&](const std::string& name) {
    put(folder / name, "x");
    std::filesystem::last_write_time(folder / name, old);
  };
  const std::vector<std::string> others = {"a.tmp-0123abcd",   ".a.tmp-0123abc", ".a.tmp-0123abcg",
                                           ".a.tmp-0123abcde", ".tmp-0123abcd",  "tmp"};
  for (const auto& name : others) put_aged(name);
  put_aged(".a.tmp-0123abcd");             // of a killed process
  put_aged(".another name.tmp-ffffffff");  // of another file, perhaps a stranger's
  put_aged(".a.tmp-1.tmp-0123abcd");       // of a file whose name begins like this one's
  put(folder / ".a.tmp-00000000", "x");    // just made
  put_aged(".a.tmp-11111111");             // locked: a process is writing it
  const int locked = ::open((folder / ".a.tmp-11111111").c_str(), O_RDONLY);
  REQUIRE(::flock(locked, LOCK_EX | LOCK_NB) == 0);
  write_text(folder / "a", "new");
  const auto left = [&] {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path)) names.insert(entry.path().filename());
    return names;
  };
  std::set<std::string> expected(others.begin(), others.end());
  expected.insert({"a", ".a.tmp-00000000", ".a.tmp-11111111", ".a.tmp-1.tmp-0123abcd", ".another name.tmp-ffffffff"});
  CHECK(left() == expected);
  hmrnn::remove_stale_temporary_files(folder.path);  // of all files
  expected.erase(".another name.tmp-ffffffff");
  expected.erase(".a.tmp-1.tmp-0123abcd");
  CHECK(left() == expected);
  ::close(locked);
}

TEST_CASE("a file that is being written is locked, so that no process removes its temporary file") {
  const TemporaryFolder folder;
  hmrnn::write_file_atomically(folder / "a", [&](const Sink& sink) {
    sink("half");
    for (const auto& entry : std::filesystem::directory_iterator(folder.path)) {
      std::filesystem::last_write_time(entry.path(),
                                       std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
    }
    hmrnn::remove_stale_temporary_files(folder.path);
  });
  CHECK(get(folder / "a") == "half");
}
