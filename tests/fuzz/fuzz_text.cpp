// Fuzzes the reading of texts: any bytes, as a plain file, as one named .xz and as a Penn Treebank split, give a text
// or hmrnn::Error with one line. Build: tests/fuzz/README.md.
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "hmrnn/data/text_corpus.h"
#include "hmrnn/error.h"
#include "tests/fuzz/memory_file.h"

namespace {

/// Names of the file in memory, in a permanent folder.
struct Names {
  explicit Names(const std::string& target) {
    char name[] = "/tmp/hmrnn_fuzz_XXXXXX";
    if (::mkdtemp(name) == nullptr) fail("cannot make a folder", name);
    folder = name;
    for (const char* link : {"text.xz", "ptb.char.train.txt", "ptb.char.valid.txt", "ptb.char.test.txt"}) {
      if (::symlink(target.c_str(), (folder + "/" + link).c_str()) != 0) fail("cannot make a link", link);
    }
  }
  ~Names() {
    for (const char* link : {"text.xz", "ptb.char.train.txt", "ptb.char.valid.txt", "ptb.char.test.txt"}) {
      ::unlink((folder + "/" + link).c_str());
    }
    ::rmdir(folder.c_str());
  }
  std::string folder;
};

template <typename Read>
void expect_text_or_error(const Read& read) {
  try {
    read();
  } catch (const hmrnn::Error& error) {
    if (*error.what() == '\0') fail("an error says nothing", "");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const MemoryFile file;
  static const Names names(file.path());
  file.put(data, size);
  expect_text_or_error([&] {
    if (hmrnn::read_text_file(file.path()).size() != size)
      fail("a plain file is read as another", std::to_string(size));
  });
  expect_text_or_error([&] {
    if (hmrnn::read_text_file(names.folder + "/text.xz").size() > (size_t{257} << 20) + 200 * size) {
      fail("more data than a text may have", std::to_string(size));
    }
  });
  expect_text_or_error([&] {
    hmrnn::TextCorpusOptions options;
    options.corpus = "ptb";
    options.data_dir = names.folder;
    const auto corpus = hmrnn::load_text_corpus(options);
    if (corpus.train.numel() == 0 || corpus.vocabulary.size() == 0) fail("an empty text is accepted", "");
  });
  return 0;
}
