#include "hmrnn/data/text_corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>
#undef XXH_INLINE_ALL

#include "hmrnn/data/synthetic_text.h"
#include "hmrnn/data/xz_file.h"
#include "hmrnn/error.h"
#include "hmrnn/io/whole_file.h"

namespace hmrnn {
namespace fs = std::filesystem;
namespace {

/// Throws hmrnn::Error if the bytes begin like a compressed file: read as text, they would be noise to train on.
void refuse_packed(const fs::path& path, std::string_view bytes) {
  using namespace std::string_view_literals;
  static constexpr std::array<std::pair<std::string_view, const char*>, 9> kBegins = {
      {{"\x1f\x8b"sv, "gzip"},
       {"BZh"sv, "bzip2"},
       {"\x28\xb5\x2f\xfd"sv, "Zstandard"},
       {"\xfd"
        "7zXZ\0"sv,
        "xz"},
       {"PK\3\4"sv, "zip"},
       {"7z\xbc\xaf\x27\x1c"sv, "7z"},
       {"Rar!\x1a\7"sv, "rar"},
       {"\x04\x22\x4d\x18"sv, "lz4"},
       {"LZIP"sv, "lzip"}}};
  for (const auto& [begin, kind] : kBegins) {
    if (bytes.substr(0, begin.size()) != begin) continue;
    if (kind == std::string_view("bzip2") && (bytes.size() < 4 || bytes[3] < '1' || bytes[3] > '9')) continue;
    throw Error(path.string() + " is packed (" + kind + "), not a text" +
                (kind == std::string_view("xz") ? "; its name must end in .xz" : "; unpack it first"));
  }
}

std::string read_plain(const fs::path& path) {
  auto bytes = read_whole_file(path);
  refuse_packed(path, bytes);
  return bytes;
}

/// Whether `path` exists; false also on an error, for example if a list of files is too long for the name of one.
bool names_something(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// Folder of a named corpus: the given one, or the default.
fs::path corpus_dir(const TextCorpusOptions& options) {
  if (!options.data_dir.empty()) {
    if (!names_something(options.data_dir))
      throw Error("the data folder " + options.data_dir.string() + " does not exist");
    if (!fs::is_directory(options.data_dir)) throw Error(options.data_dir.string() + " is not a folder");
    return options.data_dir;
  }
  const auto dir = default_data_dir(options.corpus);
  if (!dir.empty()) return dir;
  const char* parent = std::getenv("HMRNN_DATA_DIR");
  throw Error("no data folder for corpus " + options.corpus + ": looked for " +
              (parent && *parent ? (fs::path(parent) / options.corpus).string()
                                 : "$HMRNN_DATA_DIR/" + options.corpus + " (HMRNN_DATA_DIR is not set)") +
              " and " + (fs::path("data") / options.corpus).string() + "; data/fetch.sh " + options.corpus +
              " brings it, --data-dir names another folder");
}

/// The one file of `dir` whose name begins with `prefix`, plain or .xz.
fs::path find_by_prefix(const fs::path& dir, const std::string& prefix) {
  // Files that a download may leave beside the text.
  static const std::set<std::string> not_text = {".zip", ".gz",   ".tgz", ".bz2",  ".zst", ".7z",
                                                 ".rar", ".part", ".tmp", ".json", ".md5", ".sha256"};
  std::vector<std::string> texts, others;
  std::error_code error;
  const fs::directory_iterator entries(dir, error);
  if (error) throw Error("cannot read " + dir.string() + ": " + error.message());
  for (const auto& entry : entries) {
    const auto name = entry.path().filename().string();
    if (name.rfind(prefix, 0) != 0 || !entry.is_regular_file()) continue;
    (not_text.count(entry.path().extension().string()) ? others : texts).push_back(name);
  }
  if (texts.size() == 1) return dir / texts.front();
  const auto list = [](std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    std::string joined;
    for (const auto& name : names) joined += (joined.empty() ? "" : ", ") + name;
    return joined;
  };
  if (texts.empty()) {
    throw Error("no file " + prefix + "* (plain or .xz) in " + dir.string() +
                (others.empty() ? "" : "; " + list(others) + " must be unpacked first"));
  }
  throw Error("more than one file " + prefix + "* in " + dir.string() + ": " + list(texts));
}

/// Converts a PTB file of words or of single characters to text: the symbols of each line and a line end.
std::string read_ptb(const fs::path& path, bool characters) {
  const std::string file = read_text_file(path);
  std::string text;
  text.reserve(file.size());
  // Blank lines at the end are not sentences (Mikolov's character files end with one).
  const auto end = file.find_last_not_of(" \r\n");
  if (end == std::string::npos) throw Error(path.string() + " is empty: it has only blank lines");
  std::string_view rest(file.data(), end + 1);
  for (int64_t number = 1; !rest.empty(); ++number) {
    const auto length = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, length);
    rest.remove_prefix(std::min(length + 1, rest.size()));
    bool first = true;
    while (!line.empty()) {
      const auto size = std::min(line.find_first_of(" \r"), line.size());
      const std::string_view symbol = line.substr(0, size);
      line.remove_prefix(std::min(size + 1, line.size()));
      if (symbol.empty()) continue;
      if (characters) {
        if (symbol.size() != 1) {
          throw Error(path.string() + ":" + std::to_string(number) + ": '" + std::string(symbol.substr(0, 20)) +
                      "' is not one character; the symbols of a character file are separated by spaces");
        }
        text.push_back(symbol[0] == '_' ? ' ' : symbol[0]);
      } else {
        if (!first) text.push_back(' ');
        text += symbol;
        first = false;
      }
    }
    text.push_back('\n');
  }
  return text;
}

struct Source {
  std::string path;
  std::string text;
};

/// train, valid, test
std::array<Source, 3> read_ptb_splits(const fs::path& dir) {
  static constexpr std::array<const char*, 3> kSplits = {"train", "valid", "test"};
  std::string missing;
  for (const bool characters : {true, false}) {
    std::array<Source, 3> splits;
    std::vector<std::string> absent;
    for (size_t s = 0; s < splits.size(); ++s) {
      const auto name = std::string(characters ? "ptb.char." : "ptb.") + kSplits[s] + ".txt";
      splits[s].path = (dir / name).string();
      if (!names_something(splits[s].path)) absent.push_back(name);
    }
    if (absent.empty()) {
      for (auto& split : splits) split.text = read_ptb(split.path, characters);
      return splits;
    }
    // Prefer to report the file that completes a partly present set.
    if (absent.size() < splits.size() && missing.empty()) missing = absent.front();
  }
  throw Error(missing.empty()
                  ? "neither ptb.char.{train,valid,test}.txt nor ptb.{train,valid,test}.txt is in " + dir.string()
                  : missing + " is missing in " + dir.string());
}

/// Splits a text 90 : 5 : 5; a split that is already defined takes no part of it.
void cut(TextCorpus& corpus, const torch::Tensor& text) {
  const int64_t size = text.numel();
  const auto percent = [&](int64_t n) { return size / 100 * n + size % 100 * n / 100; };
  const int64_t valid = percent(corpus.test.defined() ? 100 : 95), train = percent(corpus.test.defined() ? 95 : 90);
  corpus.train = text.slice(0, 0, corpus.valid.defined() ? valid : train);
  if (!corpus.valid.defined()) corpus.valid = text.slice(0, train, valid);
  if (!corpus.test.defined()) corpus.test = text.slice(0, valid, size);
}

/// Reads a corpus of files and splits it.
void read_files(TextCorpus& corpus, const TextCorpusOptions& options, const std::vector<fs::path>& files) {
  std::string text;
  for (const auto& file : files) {
    text += read_text_file(file);
    corpus.source += (corpus.source.empty() ? "" : ", ") + file.string();
    corpus.name += (corpus.name.empty() ? "" : ",") + file.filename().string();
  }
  const auto valid = options.valid_file.empty() ? "" : read_text_file(options.valid_file);
  const auto test = options.test_file.empty() ? "" : read_text_file(options.test_file);
  if (corpus.vocabulary.size() == 0) corpus.vocabulary = Vocabulary::of(text + valid + test);
  if (!valid.empty()) corpus.valid = corpus.vocabulary.encode(valid, options.valid_file);
  if (!test.empty()) corpus.test = corpus.vocabulary.encode(test, options.test_file);
  cut(corpus, corpus.vocabulary.encode(text, corpus.source));
}

}  // namespace

torch::Tensor TextCorpus::split(const std::string& split_name) const {
  if (split_name == "train") return train;
  if (split_name == "valid") return valid;
  if (split_name == "test") return test;
  if (split_name == "all") return torch::cat({train, valid, test});
  throw Error("unknown split '" + split_name + "': it is train, valid, test or all");
}

std::string TextCorpus::content_hash() const {
  XXH64_hash_t hash = 0;
  for (const auto* part : {&train, &valid, &test}) {
    const auto bytes = part->contiguous();
    hash = XXH3_64bits_withSeed(bytes.const_data_ptr(), bytes.nbytes(), hash);
  }
  return fmt::format("{:016x}", hash);
}

void TextCorpus::use_vocabulary(const Vocabulary& symbols) {
  auto index = torch::empty({vocabulary.size()}, torch::kUInt8);
  for (int64_t i = 0; i < vocabulary.size(); ++i) {
    index[i] = symbols.index(vocabulary.bytes()[static_cast<size_t>(i)]);
  }
  for (auto* part : {&train, &valid, &test}) *part = index.index_select(0, part->to(torch::kInt64));
  vocabulary = symbols;
}

std::vector<fs::path> corpus_files(const std::string& corpus) {
  if (names_something(corpus)) return {corpus};
  std::vector<fs::path> out;
  for (size_t begin = 0; begin <= corpus.size();) {
    const auto end = std::min(corpus.find(',', begin), corpus.size());
    out.emplace_back(corpus.substr(begin, end - begin));
    if (!names_something(out.back())) return {};
    begin = end + 1;
  }
  return out;
}

std::string read_text_file(const fs::path& path) {
  auto bytes = path.extension() == ".xz" ? read_xz_file(path) : read_plain(path);
  if (bytes.empty()) throw Error(path.string() + " is empty");
  return bytes;
}

TextCorpusOptions options_to_load(const CorpusReference& reference) {
  TextCorpusOptions out;
  out.corpus = reference.corpus;
  out.valid_file = reference.valid_file;
  out.test_file = reference.test_file;
  std::error_code error;
  if (!reference.data_dir.empty() && std::filesystem::is_directory(reference.data_dir, error)) {
    out.data_dir = reference.data_dir;
  }
  if (reference.synthetic_length > 0) {
    out.synthetic_length = reference.synthetic_length;
    out.seed = reference.synthetic_seed;
  }
  return out;
}

TextCorpus load_text_corpus(const TextCorpusOptions& options) try {
  TextCorpus corpus;
  corpus.name = options.corpus;
  corpus.vocabulary = options.vocabulary;
  const bool given = options.vocabulary.size() > 0;

  if (options.corpus == "ptb") {
    const auto dir = corpus_dir(options);
    corpus.source = dir.string();
    const auto splits = read_ptb_splits(dir);
    if (!given) corpus.vocabulary = Vocabulary::of(splits[0].text + splits[1].text + splits[2].text);
    corpus.train = corpus.vocabulary.encode(splits[0].text, splits[0].path);
    corpus.valid = corpus.vocabulary.encode(splits[1].text, splits[1].path);
    corpus.test = corpus.vocabulary.encode(splits[2].text, splits[2].path);
    return corpus;
  }

  const bool named = options.corpus == "text8" || options.corpus == "enwik8";
  if (options.corpus == "synthetic") {
    if (options.synthetic_length < 1 || options.synthetic_length > kMostSyntheticCharacters) {
      throw Error("the length of the synthetic corpus must be 1 to " + std::to_string(kMostSyntheticCharacters) +
                  " characters, not " + std::to_string(options.synthetic_length));
    }
    corpus.source = "the synthetic corpus (seed " + std::to_string(options.seed) + ")";
    const auto text = SyntheticTextGenerator(options.seed).next(options.synthetic_length).text;
    // Use the whole alphabet even if the text is short, so that all synthetic corpora have the same vocabulary.
    if (!given) corpus.vocabulary = Vocabulary::of(SyntheticTextGenerator::alphabet());
    cut(corpus, corpus.vocabulary.encode(text, corpus.source));
    return corpus;
  }
  if (!named) corpus.name.clear();
  const auto files =
      named ? std::vector{find_by_prefix(corpus_dir(options), options.corpus == "text8" ? "text8" : "enwik")}
            : corpus_files(options.corpus);
  if (files.empty()) {
    throw Error("corpus '" + options.corpus + "' is neither ptb, text8, enwik8 or synthetic nor a file");
  }
  read_files(corpus, options, files);
  if (named) corpus.name = options.corpus;
  return corpus;
} catch (const fs::filesystem_error& error) {  // for example a folder without permission
  throw Error("cannot read " + error.path1().string() + ": " + error.code().message());
}

}  // namespace hmrnn
