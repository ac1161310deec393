// The saved states that a run's folder keeps.
#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "catch.h"
#include "hmrnn/run/run_folder.h"
#include "support/files.h"

namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("the latest states are kept, as they were when they were saved") {
  const TemporaryFolder temporary;
  const hmrnn::RunFolder folder(temporary / "run");
  folder.create();
  const auto save = [&](int64_t step, int64_t count) {
    for (const auto& [path, name] :
         {std::pair(folder.last_state(), "state"), std::pair(folder.last_model(), "model")}) {
      put(path.string() + ".new", name + std::to_string(step));
      fs::rename(path.string() + ".new", path);  // as write_file_atomically does
    }
    folder.keep(step, count);
  };
  for (const int64_t step : {5, 10, 15, 123456789}) save(step, 3);
  CHECK(names_in(folder.kept()) == std::vector<std::string>{"00000010", "00000015", "123456789"});
  for (const std::string step : {"10", "15"}) {
    CHECK(get(folder.kept() / ("000000" + step) / "state.safetensors") == "state" + step);
    CHECK(get(folder.kept() / ("000000" + step) / "model.safetensors") == "model" + step);
  }
  CHECK(get(folder.last_state()) == "state123456789");
  // After a resume from an earlier step, new saves replace those beyond it first. A folder with another name stays, and
  // what a death within a save has left goes.
  fs::create_directory(folder.kept() / "mine");
  fs::create_directories(folder.kept() / "next/rest");
  save(15, 2);
  CHECK(names_in(folder.kept()) == std::vector<std::string>{"00000010", "00000015", "mine"});
  save(16, 2);
  CHECK(names_in(folder.kept()) == std::vector<std::string>{"00000015", "00000016", "mine"});
  save(123456789, 2);
  save(17, 1);
  CHECK(names_in(folder.kept()) == std::vector<std::string>{"00000017", "mine"});
  CHECK(get(folder.kept() / "00000017/state.safetensors") == "state17");
  const std::string long_name(30, '7');  // not a step
  fs::create_directory(folder.kept() / long_name);
  save(18, 1);
  CHECK(names_in(folder.kept()) == std::vector<std::string>{"00000018", long_name, "mine"});
}

TEST_CASE("the state to go back to is the last that was kept as that, whatever last/ becomes") {
  const TemporaryFolder temporary;
  const hmrnn::RunFolder folder(temporary / "run");
  folder.create();
  CHECK_THAT(error_of([&] { folder.keep_recovery_state(); }),
             ContainsSubstring("cannot keep " + folder.recovery_state().string()));
  const auto save = [&](const std::string& text) {
    put(folder.last_state().string() + ".new", text);
    fs::rename(folder.last_state().string() + ".new", folder.last_state());
  };
  save("first");
  folder.keep_recovery_state();
  folder.keep_recovery_state();  // twice, as a resume may
  save("second");
  CHECK(get(folder.recovery_state()) == "first");
  folder.keep_recovery_state();
  save("third");
  CHECK(get(folder.recovery_state()) == "second");
  CHECK(names_in(folder.recovery_state().parent_path()) == std::vector<std::string>{"state.safetensors"});
  folder.drop_recovery_state();
  CHECK_FALSE(fs::exists(folder.recovery_state()));
  folder.drop_recovery_state();
}

TEST_CASE("what cannot be kept is named") {
  const TemporaryFolder temporary;
  const hmrnn::RunFolder folder(temporary / "run");
  folder.create();
  CHECK_THAT(error_of([&] { folder.keep(7, 1); }),
             ContainsSubstring("cannot keep " + (folder.kept() / "00000007").string()));
}

TEST_CASE("a kept save has its own copy of the files") {
  const TemporaryFolder temporary;
  const hmrnn::RunFolder folder(temporary / "run");
  folder.create();
  for (const auto& path : {folder.last_state(), folder.last_model()}) put(path, "ten");
  folder.keep(10, 3);
  folder.keep_recovery_state();
  // cp writes into the existing file.
  for (const auto& path : {folder.last_state(), folder.last_model()}) put(path, "five");
  CHECK(get(folder.kept() / "00000010/state.safetensors") == "ten");
  CHECK(get(folder.kept() / "00000010/model.safetensors") == "ten");
  CHECK(get(folder.recovery_state()) == "ten");
}

TEST_CASE("kept steps beyond one are removed; a folder with kept saves holds a run") {
  const TemporaryFolder temporary;
  const hmrnn::RunFolder folder(temporary / "run");
  folder.create();
  folder.require_absent();
  folder.drop_kept_beyond(5);  // there are none
  for (const auto& path : {folder.last_state(), folder.last_model()}) put(path, "x");
  for (const int64_t step : {5, 10, 123456789}) folder.keep(step, 9);
  fs::create_directory(folder.kept() / "mine");
  folder.drop_kept_beyond(10);
  CHECK(names_in(folder.kept()) == std::vector<std::string>{"00000005", "00000010", "mine"});
  CHECK(folder.is_kept(10));
  CHECK_FALSE(folder.is_kept(11));
  for (const auto& path : {folder.last_state(), folder.last_model()}) fs::remove(path);
  CHECK_THROWS_WITH(folder.require_absent(), ContainsSubstring("already holds a run (kept)"));
}

TEST_CASE("copies that a process did not finish are removed, and nothing else") {
  const TemporaryFolder temporary;
  const hmrnn::RunFolder folder(temporary / "run");
  folder.create();
  folder.drop_unfinished_copies();  // there are none
  for (const auto& path : {folder.last_state(), folder.last_model()}) put(path, "x");
  folder.keep(5, 9);
  folder.keep_recovery_state();
  fs::create_directories(folder.kept() / "next");
  put(folder.kept() / "next/state.safetensors", "half");
  const auto stale = folder.recovery_state().parent_path() / ".state.safetensors.tmp-0123abcd";
  put(stale, "half");
  fs::last_write_time(stale, fs::file_time_type::clock::now() - std::chrono::hours(1));
  folder.drop_unfinished_copies();
  CHECK(names_in(folder.kept()) == std::vector<std::string>{"00000005"});
  CHECK_FALSE(fs::exists(stale));
  CHECK(get(folder.recovery_state()) == "x");
}
