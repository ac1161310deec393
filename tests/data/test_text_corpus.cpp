#include <algorithm>
#include <fstream>
#include <iostream>
#include <string_view>

#include "catch.h"
#include "hmrnn/data/synthetic_text.h"
#include "hmrnn/data/text_corpus.h"
#include "hmrnn/error.h"
#include "support/corpus.h"
#include "support/files.h"
#include "support/temporary_folder.h"

namespace fs = std::filesystem;
using hmrnn::Error;
using hmrnn::load_text_corpus;
using hmrnn::read_text_file;
using hmrnn::TextCorpus;
using hmrnn::TextCorpusOptions;
using hmrnn::Vocabulary;
using namespace hmrnn::test;

namespace {

/// 300 kB of text that compresses moderately.
std::string long_text() { return hmrnn::SyntheticTextGenerator(9).next(300'000).text; }

/// The folder of the real data; empty, with a note that the test is skipped, if there is none.
fs::path real_data(const std::string& corpus) {
  const auto dir = hmrnn::default_data_dir(corpus);
  if (dir.empty()) std::cout << "skipped: no " << corpus << " in $HMRNN_DATA_DIR or data/" << std::endl;
  return dir;
}

}  // namespace

TEST_CASE("PTB as characters: a symbol each, _ is the space, the blank last line is no sentence") {
  TemporaryFolder folder;
  folder.write("ptb.char.train.txt", "a _ < u n k > \n N _ $ \n ");
  folder.write("ptb.char.valid.txt", " b \n");
  folder.write("ptb.char.test.txt", "c a b");
  const auto corpus = load_corpus("ptb", folder.path);
  CHECK(corpus.name == "ptb");
  CHECK(corpus.source == folder.path.string());
  CHECK(text_of(corpus, "train") == "a <unk>\nN $\n");
  CHECK(text_of(corpus, "valid") == "b\n");
  CHECK(text_of(corpus, "test") == "cab\n");
  CHECK(text_of(corpus, "all") == "a <unk>\nN $\nb\ncab\n");
  CHECK(corpus.vocabulary == Vocabulary::of("a <unk>\nN $\nb\ncab\n"));
  CHECK(corpus.train.scalar_type() == torch::kUInt8);
  CHECK(error_of([&] { corpus.split("dev"); }) == "unknown split 'dev': it is train, valid, test or all");
}

TEST_CASE("PTB as words gives the symbols that PTB as characters gives") {
  TemporaryFolder words, characters;
  words.write("ptb.train.txt", " the <unk> paid $ N \n it's so \n");
  words.write("ptb.valid.txt", "no spaces around\n");
  words.write("ptb.test.txt", "\t last without line end");
  characters.write("ptb.char.train.txt", "t h e _ < u n k > _ p a i d _ $ _ N \n i t ' s _ s o \n ");
  characters.write("ptb.char.valid.txt", "n o _ s p a c e s _ a r o u n d \n ");
  characters.write("ptb.char.test.txt", "\t _ l a s t _ w i t h o u t _ l i n e _ e n d \n ");
  const auto a = load_corpus("ptb", words.path), b = load_corpus("ptb", characters.path);
  for (const char* split : {"train", "valid", "test"}) CHECK(text_of(a, split) == text_of(b, split));
  CHECK(a.vocabulary == b.vocabulary);
  CHECK(text_of(a, "train") == "the <unk> paid $ N\nit's so\n");
}

TEST_CASE("PTB: the character files come first, a set that is incomplete does not hide a complete one") {
  TemporaryFolder folder;
  for (const char* split : {"train", "valid", "test"}) folder.write(std::string("ptb.") + split + ".txt", "word\n");
  folder.write("ptb.char.train.txt", "c\n");
  CHECK(text_of(load_corpus("ptb", folder.path), "train") == "word\n");
  folder.write("ptb.char.valid.txt", "c\n");
  folder.write("ptb.char.test.txt", "c\n");
  CHECK(text_of(load_corpus("ptb", folder.path), "train") == "c\n");
}

TEST_CASE("PTB: what is missing, malformed or empty is named") {
  TemporaryFolder folder;
  const auto dir = folder.path.string();
  const auto message = [&] { return error_of([&] { load_corpus("ptb", folder.path); }); };
  CHECK(message() == "neither ptb.char.{train,valid,test}.txt nor ptb.{train,valid,test}.txt is in " + dir);
  folder.write("ptb.char.train.txt", "a b\nc d\n");
  folder.write("ptb.char.test.txt", "a\n");
  CHECK(message() == "ptb.char.valid.txt is missing in " + dir);
  folder.write("ptb.char.valid.txt", "a b \n c _ the _ d \n");
  CHECK_THAT(message(), ContainsSubstring(dir + "/ptb.char.valid.txt:2: 'the' is not one character"));
  folder.write("ptb.char.valid.txt", "a \xc3\xa4\n");
  CHECK_THAT(message(), ContainsSubstring("/ptb.char.valid.txt:1: "));
  folder.write("ptb.char.valid.txt", "");
  CHECK(message() == dir + "/ptb.char.valid.txt is empty");
  folder.write("ptb.char.valid.txt", " \n \n");
  CHECK_THAT(message(), ContainsSubstring("/ptb.char.valid.txt is empty"));
}

TEST_CASE("a text of bytes is cut 90 : 5 : 5") {
  TemporaryFolder folder;
  const auto bytes = long_text();
  const auto path = folder.write("notes.txt", bytes).string();
  const auto corpus = load_corpus(path);
  CHECK(corpus.name == "notes.txt");
  CHECK(corpus.source == path);
  CHECK(corpus.train.numel() == 270'000);
  CHECK(corpus.valid.numel() == 15'000);
  CHECK(corpus.test.numel() == 15'000);
  CHECK(text_of(corpus, "all") == bytes);
  for (const size_t size : {1U, 7U, 19U, 20U, 101U, 12'345U}) {
    folder.write("notes.txt", bytes.substr(0, size));
    const auto small = load_corpus(path);
    CHECK(small.train.numel() == static_cast<int64_t>(size * 90 / 100));
    CHECK(small.valid.numel() == static_cast<int64_t>(size * 95 / 100 - size * 90 / 100));
    CHECK(text_of(small, "all") == bytes.substr(0, size));
  }
}

TEST_CASE("several files are one text, and parts may have files of their own") {
  const TemporaryFolder folder;
  const auto write = [&](const char* name, const std::string& bytes) {
    std::ofstream(folder / name) << bytes;
    return (folder / name).string();
  };
  const auto a = write("a.txt", std::string(60, 'a')), b = write("b.txt", std::string(40, 'b')),
             v = write("v.txt", "vvv"), comma = write("c,d.txt", std::string(100, 'c'));
  const auto both = load_corpus(a + "," + b);
  CHECK(text_of(both, "all") == std::string(60, 'a') + std::string(40, 'b'));
  CHECK(both.train.numel() == 90);
  CHECK(both.name == "a.txt,b.txt");
  CHECK(text_of(load_corpus(comma), "all") == std::string(100, 'c'));  // an existing file of that name has precedence
  CHECK(error_of([&] { load_corpus(a + "," + (folder / "none").string()); }).find("none") != std::string::npos);

  TextCorpusOptions options;
  options.corpus = a + "," + b;
  options.valid_file = v;
  auto corpus = load_text_corpus(options);
  CHECK(text_of(corpus, "valid") == "vvv");
  CHECK(corpus.train.numel() == 95);
  CHECK(text_of(corpus, "test") == "bbbbb");
  options.test_file = v;
  options.valid_file.clear();
  corpus = load_text_corpus(options);
  CHECK(text_of(corpus, "test") == "vvv");
  CHECK(corpus.train.numel() == 95);
  CHECK(text_of(corpus, "valid") == "bbbbb");
  options.valid_file = v;
  corpus = load_text_corpus(options);
  CHECK(corpus.train.numel() == 100);
  CHECK(corpus.vocabulary == Vocabulary::of("abv"));
}

TEST_CASE("a corpus is written in the symbols of a larger vocabulary") {
  const TemporaryFolder folder;
  std::ofstream(folder / "a.txt") << "abcabcabcabcabcabcabcabcabcabc";
  auto corpus = load_corpus((folder / "a.txt").string());
  const auto before = text_of(corpus, "all");
  const auto joined = Vocabulary({'x', 'b'}).joined_with(corpus.vocabulary);
  CHECK(joined.bytes() == std::vector<uint8_t>{'x', 'b', 'a', 'c'});
  corpus.use_vocabulary(joined);
  CHECK(text_of(corpus, "all") == before);
  CHECK(corpus.train[0].item<int64_t>() == 2);
  CHECK_THROWS_AS(corpus.use_vocabulary(Vocabulary({'x', 'b'})), Error);
}

TEST_CASE("the hash of a text tells every change, and nothing else") {
  const TemporaryFolder folder;
  const auto hash = [&](const std::string& bytes) {
    TextCorpusOptions options;
    options.corpus = folder.write("text", bytes).string();
    return load_text_corpus(options).content_hash();
  };
  std::string bytes;
  for (int i = 0; i < 400; ++i) bytes += static_cast<char>('a' + i * i % 7);
  const auto before = hash(bytes);
  CHECK(before.size() == 16);
  CHECK(hash(bytes) == before);
  for (const size_t at : {size_t{0}, size_t{200}, size_t{365}, size_t{385}}) {  // all three splits
    auto swapped = bytes;
    std::swap(swapped[at], swapped[at + 1]);
    REQUIRE(swapped != bytes);
    CHECK(hash(swapped) != before);
  }
}

TEST_CASE("text8 and enwik8 at full length: 90M, 5M, 5M") {
  TemporaryFolder folder;
  // The marks at the cuts identify positions.
  std::string bytes(100'000'000, 'a');
  bytes[89'999'999] = 'b';
  bytes[90'000'000] = 'c';
  bytes[94'999'999] = 'd';
  bytes[95'000'000] = 'e';
  folder.write("text8", bytes);
  const auto corpus = load_corpus("text8", folder.path);
  CHECK(corpus.name == "text8");
  REQUIRE(corpus.train.numel() == 90'000'000);
  REQUIRE(corpus.valid.numel() == 5'000'000);
  REQUIRE(corpus.test.numel() == 5'000'000);
  CHECK(corpus.vocabulary == Vocabulary::of("abcde"));
  CHECK(corpus.train[-1].item<int64_t>() == 1);
  CHECK(corpus.valid[0].item<int64_t>() == 2);
  CHECK(corpus.valid[-1].item<int64_t>() == 3);
  CHECK(corpus.test[0].item<int64_t>() == 4);
}

TEST_CASE("a FILE may hold any bytes, UTF-8 or not") {
  TemporaryFolder folder;
  std::string bytes;
  for (int i = 0; i < 1024; ++i) bytes += static_cast<char>(i * 7 % 256);
  const auto corpus = load_corpus(folder.write("noise.bin", bytes).string());
  CHECK(corpus.vocabulary.size() == 256);
  CHECK(text_of(corpus, "all") == bytes);
}

TEST_CASE("names that are too long for a file: several files are read, one is an error") {
  TemporaryFolder folder;
  std::string names;
  for (int i = 0; i < 4; ++i) {
    const auto name = std::string(100, static_cast<char>('a' + i));
    folder.write(name, "some text of a file");
    names += (i > 0 ? "," : "") + name;
  }
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(folder.path);  // without a slash the list is one name
  const auto files = hmrnn::corpus_files(names);
  std::filesystem::current_path(here);
  CHECK(files.size() == 4);
  CHECK(hmrnn::corpus_files(std::string(300, 'a')).empty());
  CHECK_THAT(error_of([] { load_corpus(std::string(300, 'a'), ""); }), ContainsSubstring("nor a file"));
}

TEST_CASE("text8* and enwik*: one file, found by its prefix") {
  TemporaryFolder folder;
  const auto dir = folder.path.string();
  const auto message = [&](const char* corpus) { return error_of([&] { load_corpus(corpus, folder.path); }); };
  CHECK(message("text8") == "no file text8* (plain or .xz) in " + dir);
  CHECK(message("enwik8") == "no file enwik* (plain or .xz) in " + dir);
  folder.write("text8.zip", "PK");
  CHECK(message("text8") == "no file text8* (plain or .xz) in " + dir + "; text8.zip must be unpacked first");
  folder.write("text8-head", "some text");
  folder.write("enwik6", "<xml>");
  folder.write("README", "no text");
  fs::create_directory(folder.path / "text8.d");
  CHECK(text_of(load_corpus("text8", folder.path), "all") == "some text");
  CHECK(text_of(load_corpus("enwik8", folder.path), "all") == "<xml>");
  CHECK(load_corpus("enwik8", folder.path).source == dir + "/enwik6");
  folder.write("text8", "more");
  CHECK(message("text8") == "more than one file text8* in " + dir + ": text8, text8-head");
  fs::remove(folder.path / "text8-head");
  folder.write("text8", "");
  CHECK(message("text8") == dir + "/text8 is empty");
}

TEST_CASE("a given vocabulary must cover the text, and is kept") {
  TemporaryFolder folder;
  const auto path = folder.write("notes.txt", "0123456789abcdefgAh").string();
  CHECK(error_of([&] { load_corpus(path, {}, Vocabulary::of("0123456789abcdefgh")); }) ==
        path + " has byte 0x41 ('A') at offset 17, which is not in the vocabulary");
  const auto wide = Vocabulary::of("0123456789abcdefghA xyz");
  const auto corpus = load_corpus(path, {}, wide);
  CHECK(corpus.vocabulary == wide);
  CHECK(text_of(corpus, "all") == "0123456789abcdefgAh");

  for (const char* split : {"train", "valid", "test"}) folder.write(std::string("ptb.") + split + ".txt", "word\n");
  CHECK(load_corpus("ptb", folder.path, Vocabulary::of("word\nX")).vocabulary.size() == 6);
  CHECK(error_of([&] { load_corpus("ptb", folder.path, Vocabulary::of("wor\n")); }) ==
        folder.path.string() + "/ptb.train.txt has byte 0x64 ('d') at offset 3, which is not in the vocabulary");
}

TEST_CASE("a file that cannot be read is named") {
  TemporaryFolder folder;
  const auto dir = folder.path.string();
  CHECK(error_of([&] { read_text_file(dir + "/none"); }) == "cannot open " + dir + "/none: No such file or directory");
  CHECK(error_of([&] { read_text_file(dir); }) == dir + " is a folder, not a file");
  CHECK(error_of([&] { load_corpus(dir); }) == dir + " is a folder, not a file");
  CHECK(error_of([&] { load_corpus("text9"); }) ==
        "corpus 'text9' is neither ptb, text8, enwik8 or synthetic nor a file");
  CHECK(error_of([&] { load_corpus("ptb", dir + "/none"); }) == "the data folder " + dir + "/none does not exist");
  CHECK(error_of([&] { load_corpus("ptb", folder.write("file", "x")); }) == dir + "/file is not a folder");
}

TEST_CASE("the default folder: HMRNN_DATA_DIR, then data/, and only if it is there") {
  TemporaryFolder folder;
  folder.write("env/ptb/x", "x");
  folder.write("work/data/ptb/x", "x");
  folder.write("work/data/text8/text8", "beside");
  const auto before = fs::current_path();
  fs::current_path(folder.path / "work");
  {
    ScopedEnvironment environment("HMRNN_DATA_DIR", (folder.path / "env").c_str());
    CHECK(hmrnn::default_data_dir("ptb") == folder.path / "env/ptb");
    CHECK(hmrnn::default_data_dir("text8") == fs::path("data/text8"));
    CHECK(hmrnn::default_data_dir("enwik8").empty());
    CHECK(text_of(load_corpus("text8"), "all") == "beside");
    CHECK(error_of([&] { load_corpus("enwik8"); }) == "no data folder for corpus enwik8: looked for " +
                                                          (folder.path / "env/enwik8").string() +
                                                          " and data/enwik8; data/fetch.sh enwik8 brings it, "
                                                          "--data-dir names another folder");
  }
  {
    ScopedEnvironment environment("HMRNN_DATA_DIR", nullptr);
    CHECK(hmrnn::default_data_dir("ptb") == fs::path("data/ptb"));
    CHECK_THAT(error_of([&] { load_corpus("enwik8"); }), ContainsSubstring("HMRNN_DATA_DIR is not set"));
  }
  fs::current_path(before);
}

TEST_CASE("the synthetic corpus is the generator's text") {
  TextCorpusOptions options;
  options.synthetic_length = 10'000;
  options.seed = 4;
  const auto corpus = load_text_corpus(options);
  CHECK(corpus.name == "synthetic");
  CHECK(corpus.train.numel() == 9000);
  CHECK(corpus.valid.numel() == 500);
  CHECK(corpus.test.numel() == 500);
  CHECK(text_of(corpus, "all") == hmrnn::SyntheticTextGenerator(4).next(10'000).text);
  options.synthetic_length = 20;
  CHECK(load_text_corpus(options).vocabulary == corpus.vocabulary);
  options.synthetic_length = 0;
  CHECK_THAT(error_of([&] { load_text_corpus(options); }),
             ContainsSubstring("must be 1 to 1000000000 characters, not 0"));
  options.synthetic_length = 1'000'000'000'000;  // as the metadata of a stranger's model can say
  CHECK_THAT(error_of([&] { load_text_corpus(options); }), ContainsSubstring("not 1000000000000"));
}

TEST_CASE("the real PTB has the published number of symbols") {
  if (real_data("ptb").empty()) return;
  const auto corpus = load_corpus("ptb");
  CHECK(corpus.train.numel() == 5'017'482);
  CHECK(corpus.valid.numel() == 393'042);
  CHECK(corpus.test.numel() == 442'423);
  CHECK(corpus.vocabulary.size() == 50);
  CHECK(corpus.vocabulary.contains(' '));
  CHECK(corpus.vocabulary.contains('\n'));
  CHECK_FALSE(corpus.vocabulary.contains('_'));
  const auto train = text_of(corpus, "train");
  CHECK(std::count(train.begin(), train.end(), '\n') == 42'068);
  CHECK(train.find("<unk>") != std::string::npos);
}

TEST_CASE("the real heads of text8 and enwik8") {
  if (!real_data("text8").empty()) {
    const auto corpus = load_corpus("text8");
    CHECK(corpus.vocabulary.size() == 27);
    CHECK(corpus.split("all").numel() >= 6'877'825);
    CHECK(text_of(corpus, "train").starts_with(" anarchism originated"));
  }
  if (!real_data("enwik8").empty()) {
    const auto corpus = load_corpus("enwik8");
    CHECK(corpus.split("all").numel() >= 1'000'000);
    CHECK(text_of(corpus, "train").starts_with("<mediawiki"));
  }
}
