#include <optional>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/train/run_lock.h"
#include "support/temporary_folder.h"

using hmrnn::RunLock;

TEST_CASE("a run folder has one trainer at a time") {
  const hmrnn::test::TemporaryFolder folder;
  const hmrnn::test::TemporaryFolder other;
  std::optional<RunLock> first(folder.path);
  CHECK_THROWS_WITH(RunLock(folder.path), ContainsSubstring("another process is training into this run") &&
                                                ContainsSubstring(folder.path.string()));
  CHECK_NOTHROW(RunLock(other.path));
  first.reset();
  CHECK_NOTHROW(RunLock(folder.path));
}

TEST_CASE("a folder that is not there is named") {
  const hmrnn::test::TemporaryFolder folder;
  CHECK_THROWS_AS(RunLock(folder / "none"), hmrnn::Error);
}
