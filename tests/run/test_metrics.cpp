#include <c10/util/Exception.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "catch.h"
#include "hmrnn/run/metrics.h"
#include "support/files.h"

namespace {

using hmrnn::MetricsWriter;
using nlohmann::ordered_json;

std::string line(int64_t step) {
  std::string text = "{\"event\":\"train\",\"step\":";
  return text.append(std::to_string(step)).append("}\n");
}
ordered_json record(int64_t step) { return {{"event", "train"}, {"step", step}}; }

/// Contents of the file after opening it with `resume_step` and closing it.
std::string resumed(const std::string& before, int64_t resume_step) {
  const TemporaryFolder folder;
  put(folder / "m", before);
  { const MetricsWriter writer(folder / "m", resume_step); }
  CHECK(folder.count() == 1);
  return get(folder / "m");
}

}  // namespace

TEST_CASE("records are lines, in the order of their fields") {
  const TemporaryFolder folder;
  MetricsWriter writer(folder / "m");
  writer.write({{"step", 10}, {"loss", 1.5}, {"updates", {1.0, 0.25}}, {"event", "train"}});
  // On the disk immediately, before closing.
  CHECK(get(folder / "m") == "{\"step\":10,\"loss\":1.5,\"updates\":[1.0,0.25],\"event\":\"train\"}\n");
  writer.write({{"text", "a\nb"}});
  writer.sync();
  CHECK_THAT(get(folder / "m"), ContainsSubstring("}\n{\"text\":\"a\\nb\"}\n"));
}

TEST_CASE("non-finite numbers become null, wherever they are") {
  const TemporaryFolder folder;
  MetricsWriter writer(folder / "m");
  const double inf = std::numeric_limits<double>::infinity();
  writer.write({{"a", std::nan("")}, {"b", inf}, {"c", {1.0, -inf}}, {"d", {{"e", -std::nan("")}}}});
  CHECK(get(folder / "m") == "{\"a\":null,\"b\":null,\"c\":[1.0,null],\"d\":{\"e\":null}}\n");
}

TEST_CASE("text that is not UTF-8 still gives a JSON line") {
  const TemporaryFolder folder;
  MetricsWriter writer(folder / "m");
  writer.write({{"a", "x\xff"}});
  CHECK(get(folder / "m") == "{\"a\":\"x\xEF\xBF\xBD\"}\n");
}

TEST_CASE("only objects are records") {
  const TemporaryFolder folder;
  MetricsWriter writer(folder / "m");
  CHECK_THROWS_AS(writer.write(ordered_json::array({1, 2})), c10::Error);
  CHECK_THROWS_AS(writer.write(3), c10::Error);
  CHECK(get(folder / "m").empty());
}

TEST_CASE("opening without a resume appends") {
  const TemporaryFolder folder;
  put(folder / "m", line(1));
  MetricsWriter writer(folder / "m");
  writer.write(record(2));
  CHECK(get(folder / "m") == line(1) + line(2));
}

TEST_CASE("a torn last line is refused without a resume") {
  const TemporaryFolder folder;
  put(folder / "m", line(1) + "{\"st");
  CHECK(error_of([&] { MetricsWriter writer(folder / "m"); }) ==
        (folder / "m").string() + ": its last line is torn; only a resumed run can mend it");
  CHECK(get(folder / "m") == line(1) + "{\"st");
}

TEST_CASE("a resume drops later records and a torn last line") {
  CHECK(resumed(line(10) + line(20) + line(30), 20) == line(10) + line(20));
  CHECK(resumed(line(10) + line(20) + line(30), 25) == line(10) + line(20));
  CHECK(resumed(line(10) + line(20), 20) == line(10) + line(20));
  CHECK(resumed(line(10), 0).empty());
  CHECK(resumed(line(0) + line(1), 0) == line(0));
  CHECK(resumed("", 5).empty());
  // Several records of one step, in any order; a record without a step.
  CHECK(resumed(line(30) + line(20) + line(20) + "{\"event\":\"start\"}\n", 20) ==
        line(20) + line(20) + "{\"event\":\"start\"}\n");
  // Lines that stay are not reformatted.
  CHECK(resumed(std::string("{ \"step\" : 1.0,  \"a\":1e3 }\n") + line(-3) + "{\"step\":1.5}\n", 1) ==
        std::string("{ \"step\" : 1.0,  \"a\":1e3 }\n") + line(-3));
}

TEST_CASE("a last line cut after any byte") {
  const std::string last = line(20);
  for (size_t length = 0; length <= last.size(); ++length) {
    const std::string after = resumed(line(10) + last.substr(0, length), 20);
    // If only the line end is missing, the record is complete.
    CHECK(after == (length + 1 >= last.size() ? line(10) + line(20) : line(10)));
  }
  CHECK(resumed(line(10) + std::string(50, '\0'), 20) == line(10));
}

TEST_CASE("a resume without a file starts one") {
  const TemporaryFolder folder;
  MetricsWriter writer(folder / "m", 20);
  writer.write(record(30));
  CHECK(get(folder / "m") == line(30));
}

TEST_CASE("a line that is not a record is named, and the file is left alone") {
  const TemporaryFolder folder;
  const auto path = folder / "m";
  const auto error = [&](const std::string& text) {
    put(path, text);
    const std::string message = error_of([&] { MetricsWriter writer(path, 20); });
    CHECK(get(path) == text);
    CHECK(folder.count() == 1);
    return message;
  };
  CHECK(error(line(1) + "{\"step\":\n" + line(3)) == path.string() + ":2: not a JSON object");
  CHECK(error(std::string("[1]\n") + line(3)) == path.string() + ":1: not a JSON object");
  CHECK(error(line(1) + line(2) + "\n" + line(3)) == path.string() + ":3: not a JSON object");
  CHECK(error(line(1) + "nonsense\n") == path.string() + ":2: not a JSON object");
  CHECK(error(line(1) + line(2) + "{\"step\":\"x\"}\n") == path.string() + ":3: \"step\" is not a number");
  CHECK(error(std::string(200'000, '[') + "\n") == path.string() + ":1: not a JSON object");
}

TEST_CASE("paths that cannot be opened are named") {
  const TemporaryFolder folder;
  const auto missing = folder / "no/m";
  CHECK(error_of([&] { MetricsWriter writer(missing); }) ==
        missing.string() + ": cannot open for appending: No such file or directory");
  CHECK(error_of([&] { MetricsWriter writer(folder.path, 3); }) == folder.path.string() + ": not a regular file");
}

TEST_CASE("a line that the disk takes only in part is taken back, kept, and written when there is room") {
  const TemporaryFolder folder;
  put(folder / "m", line(1));
  MetricsWriter writer(folder / "m");
  struct rlimit before;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit limit { 1000, before.rlim_max };
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  const std::string text = error_of([&] { writer.write({{"text", std::string(2000, 'x')}}); });
  const std::string again = error_of([&] { writer.write(record(2)); });
  const std::string synced = error_of([&] { writer.sync(); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  CHECK(text == (folder / "m").string() + ": cannot write: File too large");
  CHECK(again == text);
  CHECK(synced == text);  // a state must not be newer than its records
  CHECK(get(folder / "m") == line(1));
  const auto late = line(1) + "{\"text\":\"" + std::string(2000, 'x') + "\"}\n" + line(2);
  writer.sync();
  CHECK(get(folder / "m") == late);
  writer.write(record(3));
  writer.sync();
  CHECK(get(folder / "m") == late + line(3));
}

TEST_CASE("killed while it writes, then resumed: every step once") {
  const TemporaryFolder folder;
  const auto path = folder / "m";
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    try {
      MetricsWriter writer(path);
      for (int64_t step = 1;; ++step) {
        writer.write(record(step));
        if (step == 200 && ::write(ready[1], "x", 1) != 1) break;
      }
    } catch (...) {
    }
    ::_exit(1);
  }
  char byte = 0;
  ::close(ready[1]);
  const ssize_t got = ::read(ready[0], &byte, 1);
  ::close(ready[0]);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(got == 1);
  REQUIRE(WIFSIGNALED(status));

  // After the kill every line is complete; the run resumes from a checkpoint at step 150.
  std::istringstream lines(get(path));
  std::string text;
  int64_t count = 0;
  while (std::getline(lines, text)) CHECK(text + "\n" == line(++count));
  CHECK(count >= 200);
  {
    MetricsWriter writer(path, 150);
    for (int64_t step = 151; step <= 300; ++step) writer.write(record(step));
  }
  std::string expected;
  for (int64_t step = 1; step <= 300; ++step) expected += line(step);
  CHECK(get(path) == expected);
}
