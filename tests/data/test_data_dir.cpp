#include "catch.h"
#include "hmrnn/data/data_dir.h"
#include "support/temporary_folder.h"

using hmrnn::default_data_dir;
using hmrnn::test::ScopedEnvironment;
using hmrnn::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

/// Changes the working directory until the end of the scope.
class ScopedWorkingFolder {
 public:
  explicit ScopedWorkingFolder(const fs::path& folder) : before_(fs::current_path()) { fs::current_path(folder); }
  ~ScopedWorkingFolder() { fs::current_path(before_); }
  ScopedWorkingFolder(const ScopedWorkingFolder&) = delete;
  ScopedWorkingFolder& operator=(const ScopedWorkingFolder&) = delete;

 private:
  fs::path before_;
};

}  // namespace

TEST_CASE("data are looked for in $HMRNN_DATA_DIR, then in data/") {
  const TemporaryFolder named, place;
  fs::create_directories(named / "ptb");
  named.write("text8", "a file, no folder");
  fs::create_directories(place / "work");
  const ScopedWorkingFolder here(place / "work");

  const ScopedEnvironment variable("HMRNN_DATA_DIR", named.path.c_str());
  CHECK(default_data_dir("ptb") == named / "ptb");
  CHECK(default_data_dir("iam_ondb").empty());
  CHECK(default_data_dir("text8").empty());
  fs::create_directories(place / "work/data/iam_ondb");
  fs::create_directories(place / "work/data/ptb");
  CHECK(default_data_dir("iam_ondb") == fs::path("data/iam_ondb"));
  CHECK(default_data_dir("ptb") == named / "ptb");
}

TEST_CASE("an unset or empty $HMRNN_DATA_DIR names no folder") {
  const TemporaryFolder place;
  fs::create_directories(place / "work");
  const ScopedWorkingFolder here(place / "work");
  const ScopedEnvironment variable("HMRNN_DATA_DIR", GENERATE(static_cast<const char*>(nullptr), ""));
  CHECK(default_data_dir("ptb").empty());
  fs::create_directories(place / "work/data/ptb");
  CHECK(default_data_dir("ptb") == fs::path("data/ptb"));
}
