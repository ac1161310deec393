// A member of an archive for which libarchive's warning says that its data are incomplete. No tar file causes this
// warning reliably, so this program's archive_read_data and archive_read_data_skip override the library's.
#include <dlfcn.h>
#include <sys/types.h>

#include <cstring>
#include <string>
#include <string_view>

#include "catch.h"
#include "hmrnn/data/ink_files.h"
#include "support/ink_files.h"
#include "support/temporary_folder.h"

struct archive;

namespace {

constexpr ssize_t kArchiveWarn = -20;  // ARCHIVE_WARN
bool warns = false, skip_warns = false;

using ReadData = ssize_t (*)(archive*, void*, size_t);
ReadData real_read_data() { return reinterpret_cast<ReadData>(dlsym(RTLD_NEXT, "archive_read_data")); }

}  // namespace

extern "C" __attribute__((visibility("default"))) ssize_t archive_read_data(archive* a, void* to, size_t size) {
  if (!warns) return real_read_data()(a, to, size);
  std::memset(to, ' ', size < 8 ? size : 8);
  return kArchiveWarn;
}

extern "C" __attribute__((visibility("default"))) int archive_read_data_skip(archive* a) {
  const auto real = reinterpret_cast<int (*)(archive*)>(dlsym(RTLD_NEXT, "archive_read_data_skip"));
  return skip_warns ? static_cast<int>(kArchiveWarn) : real(a);
}

TEST_CASE("a member of an archive whose data come with a warning is an error, not a shorter file") {
  if (!hmrnn::test::archives_can_be_read()) return;
  const hmrnn::test::TemporaryFolder folder;
  const auto path = folder.write("lineStrokes-all.tar", hmrnn::test::tar({{"a.xml", "<a/>"}, {"b.xml", "<b/>"}}));
  int files = 0;
  const auto visit = [&] {
    hmrnn::visit_ink_files({path, folder.path}, [&](const std::string&, std::string_view bytes) {
      ++files;
      CHECK(bytes.size() == 4);
    });
  };
  visit();
  CHECK(files == 2);
  files = 0;
  warns = true;
  CHECK_THROWS_WITH(visit(), ContainsSubstring("cannot read " + path.string()));
  warns = false;
  CHECK(files == 0);
  skip_warns = true;  // of the end of a member that was read
  CHECK_THROWS_WITH(visit(), ContainsSubstring("cannot read " + path.string()));
  skip_warns = false;
  CHECK(files == 1);
}
