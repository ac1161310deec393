#include "train_settings.h"

#include <filesystem>

#include "hmrnn/error.h"

using hmrnn::Error;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kMaxSize = 65536, kMaxStreams = 1 << 20;

std::map<std::string, OptionMap> presets() {
  const OptionMap large = {
      {"units", "1024"},    {"layers", "3"},     {"embedding", "128"}, {"output-embedding", "2048"},
      {"batch", "128"},     {"window", "100"},   {"lr", "0.001"},      {"clip", "1"},
      {"boundary", "step"}, {"slope-rate", "0"}, {"layer-norm", "on"}};
  const auto with_corpus = [](OptionMap map, const char* corpus) {
    map["corpus"] = corpus;
    return map;
  };
  return {{"ptb",
           {{"corpus", "ptb"},
            {"units", "512"},
            {"layers", "3"},
            {"embedding", "128"},
            {"output-embedding", "512"},
            {"batch", "64"},
            {"window", "100"},
            {"lr", "0.002"},
            {"clip", "1"},
            {"boundary", "step"},
            {"slope-rate", "0.04"},
            {"slope-max", "5"},
            {"layer-norm", "on"}}},
          {"text8", with_corpus(large, "text8")},
          {"enwik8", with_corpus(large, "enwik8")}};
}

const TrainOptions& train_options() {
  static const TrainOptions all(
      {{"corpus", "NAME", kNoStandard, false, kData, "ptb, text8, enwik8, synthetic, or a file, read as bytes"},
       {"data-dir", "DIR", "", true, kData, "the corpus's folder (default: $HMRNN_DATA_DIR/CORPUS, data/CORPUS)"},
       {"synthetic-length", "N", "2000000", false, kData, "characters of the synthetic corpus"},
       {"embedding", "N", "128", false, kModel, "size of the input embedding"},
       {"eval-streams", "N", "64", false, kLength, "streams that the validation text is cut into"}},
      {{"units", "512"}, {"output-embedding", "512"}, {"batch", "64"}, {"window", "100"}, {"lr", "0.002"}},
      {{"preset", "the paper's settings for ptb, text8 or enwik8; other options override them"},
       {"batch", "parallel streams of the training text"}},
      presets());
  return all;
}

bool is_named_corpus(const std::string& name) {
  return name == "ptb" || name == "text8" || name == "enwik8" || name == "synthetic";
}

/// Paths made absolute, so that a run can be taken up from another working directory.
OptionMap with_absolute_paths(OptionMap map) {
  if (const auto found = map.find("corpus"); found != map.end() && !is_named_corpus(found->second)) {
    found->second = fs::absolute(found->second).lexically_normal().string();
  }
  if (const auto found = map.find("data-dir"); found != map.end() && !found->second.empty()) {
    found->second = fs::absolute(found->second).lexically_normal().string();
  }
  return map;
}

TrainSettings parse_settings(const OptionMap& map, bool layers_given) {
  if (!map.contains("corpus")) throw Error("no corpus: give --corpus ptb|text8|enwik8|synthetic|FILE, or --preset");
  TrainSettings out;
  static_cast<CommonSettings&>(out) = CommonSettings::parse(map, layers_given, /*least_window=*/1);
  out.corpus.corpus = option_of(map, "corpus");
  out.corpus.data_dir = option_of(map, "data-dir");
  if (!out.corpus.data_dir.empty()) data_dir_of(out.corpus.corpus, out.corpus.data_dir);
  out.corpus.synthetic_length = parse_integer("synthetic-length", option_of(map, "synthetic-length"), 1, 1'000'000'000);
  out.corpus.synthetic_seed = 1;
  out.embedding = parse_integer("embedding", option_of(map, "embedding"), 1, kMaxSize);
  out.eval_streams = parse_integer("eval-streams", option_of(map, "eval-streams"), 1, kMaxStreams);
  return out;
}

}  // namespace

std::string data_dir_of(const std::string& corpus, const std::string& data_dir) {
  if (is_named_corpus(corpus) && corpus != "synthetic") return data_dir;
  throw Error("--data-dir is for ptb, text8 and enwik8; the corpus is " + corpus);
}

std::vector<OptionSpec> TrainSettings::specs() { return train_options().specs(); }

TrainSettings TrainSettings::create(const OptionMap& given) {
  return parse_settings(train_options().create(with_absolute_paths(given)), given.contains("layers"));
}

TrainSettings TrainSettings::resumed(const OptionMap& stored, const OptionMap& given, const std::string& where) {
  const auto settings =
      parse_settings(train_options().resume(stored, with_absolute_paths(given)), given.contains("layers"));
  train_options().require_unchanged(stored, given, settings.options(), where);
  return settings;
}

OptionMap TrainSettings::options() const {
  auto out = CommonSettings::options();
  out["corpus"] = corpus.corpus;
  out["data-dir"] = corpus.data_dir;
  out["synthetic-length"] = std::to_string(corpus.synthetic_length);
  out["embedding"] = std::to_string(embedding);
  out["eval-streams"] = std::to_string(eval_streams);
  return out;
}

hmrnn::CharLMOptions TrainSettings::model(int64_t vocabulary_size) const {
  return CommonSettings::model(hmrnn::CharLMOptions(vocabulary_size).embedding_size(embedding));
}
