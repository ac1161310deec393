#include "train_settings.h"

#include <fmt/format.h>

#include <filesystem>

#include "examples/program/initial_weights.h"
#include "hmrnn/error.h"
#include "hmrnn/run/run_folder.h"

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
  const OptionMap paper = {{"corpus", "ptb"},
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
                           {"layer-norm", "on"}};
  // The run ptb-512-cap of examples/recipes. Without the cap and with a rising slope gradients explode after ten
  // epochs.
  OptionMap recipe = {
      {"norm-gain", "0.3"}, {"weight-drop", "0.2"}, {"locked-dropout", "0.3"}, {"detector-norm-cap", "0.5"},
      {"slope-rate", "0"},  {"clip", "0.25"},       {"skip-norm", "10"},       {"max-skipped", "200"},
      {"roll", "on"},       {"ema", "0.9995"},      {"schedule", "cosine"},    {"warmup", "200"},
      {"final-lr", "2e-5"}, {"epochs", "60"}};
  recipe.insert(paper.begin(), paper.end());
  return {{"ptb", recipe},
          {"ptb-paper", paper},
          {"text8", with_corpus(large, "text8")},
          {"enwik8", with_corpus(large, "enwik8")}};
}

const TrainOptions& train_options() {
  static const TrainOptions all(
      {{"corpus", "NAME", kNoDefault, true, kData,
        "ptb, text8, enwik8, synthetic, or a file, read as bytes, or several files: FILE,FILE"},
       {"valid-file", "FILE", "", true, kData,
        "with a corpus of files: validate on this file instead of a part of them"},
       {"test-file", "FILE", "", true, kData, "with a corpus of files: the test split"},
       {"init-from", "RUN", "", false, kData,
        "start from the weights of this run or model.safetensors, with its sizes; symbols that it does not know get "
        "new "
        "rows"},
       {"data-dir", "DIR", "", true, kData, "the corpus's folder (default: $HMRNN_DATA_DIR/CORPUS, data/CORPUS)"},
       {"synthetic-length", "N", "2000000", false, kData, "characters of the synthetic corpus"},
       {"embedding", "N", "128", false, kModel, "size of the input embedding"},
       {"boundaries", "SPEC", "", false, kModel, "a given segmentation instead of detectors: spaces, or clock:N[,N..]"},
       {"roll", "on|off", "off", false, kRecipe, "start each epoch at another character of the text"},
       {"embedding-dropout", "P", "0", false, kRecipe,
        "probability of dropping a character's embedding for a whole window"},
       {"eval-streams", "N", "64", true, kLength, "streams that the validation text is cut into"}},
      {{"units", "512"}, {"output-embedding", "512"}, {"batch", "64"}, {"window", "100"}, {"lr", "0.002"}},
      {{"preset",
        "ptb-paper, text8 or enwik8: the paper's settings; ptb: its model by the recipe of the run ptb-512-cap in "
        "examples/recipes (60 epochs); other options override them"},
       {"batch", "parallel streams of the training text"}},
      presets());
  return all;
}

bool is_named_corpus(const std::string& name) {
  return name == "ptb" || name == "text8" || name == "enwik8" || name == "synthetic";
}

/// Makes paths absolute, so that a run can be resumed from another working directory.
OptionMap with_absolute_files(OptionMap map) {
  if (const auto found = map.find("corpus"); found != map.end() && !is_named_corpus(found->second)) {
    auto files = hmrnn::corpus_files(found->second);
    if (files.empty()) files = {found->second};  // loading reports that it does not exist
    std::string list;
    for (const auto& file : files) list += (list.empty() ? "" : ",") + absolute_path(file).string();
    found->second = list;
  }
  return with_absolute_paths(std::move(map), {"data-dir", "valid-file", "test-file", "init-from"});
}

/// Adds the sizes of the model at `from` to `map`; throws hmrnn::Error if `map` contradicts them.
void take_model_over(const std::string& from, OptionMap& map) {
  const auto path = hmrnn::RunFolder::find_model(from);
  const auto options = hmrnn::load_char_lm(path).model->options;
  auto sizes = sizes_of(options);
  sizes["embedding"] = std::to_string(options.embedding_size());
  take_sizes_over(sizes, path.string(), map);
}

TrainSettings parse_settings(const OptionMap& map, bool layers_given) {
  if (!map.contains("corpus")) throw Error("no corpus: give --corpus ptb|text8|enwik8|synthetic|FILE, or --preset");
  TrainSettings out;
  static_cast<CommonSettings&>(out) = CommonSettings::parse(map, layers_given, /*least_window=*/1);
  out.corpus.corpus = option_of(map, "corpus");
  out.corpus.data_dir = option_of(map, "data-dir");
  if (!out.corpus.data_dir.empty()) data_dir_of(out.corpus.corpus, out.corpus.data_dir);
  out.corpus.valid_file = option_of(map, "valid-file");
  out.corpus.test_file = option_of(map, "test-file");
  if (is_named_corpus(out.corpus.corpus) && !(out.corpus.valid_file + out.corpus.test_file).empty()) {
    throw Error("--valid-file and --test-file are for a corpus of files; the corpus is " + out.corpus.corpus);
  }
  out.boundaries = option_of(map, "boundaries");
  out.roll = parse_switch("roll", option_of(map, "roll"));
  out.init_from = option_of(map, "init-from");
  out.corpus.synthetic_length =
      parse_integer("synthetic-length", option_of(map, "synthetic-length"), 1, hmrnn::kMostSyntheticCharacters);
  out.corpus.synthetic_seed = 1;
  out.embedding = parse_integer("embedding", option_of(map, "embedding"), 1, kMaxSize);
  out.embedding_dropout = parse_below_one("embedding-dropout", option_of(map, "embedding-dropout"));
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
  auto map = with_absolute_files(given);
  if (const auto from = map.find("init-from"); from != map.end()) take_model_over(from->second, map);
  return parse_settings(train_options().create(map), given.contains("layers"));
}

TrainSettings TrainSettings::resumed(const OptionMap& stored, const OptionMap& given, const std::string& where) {
  const auto settings =
      parse_settings(train_options().resume(stored, with_absolute_files(given)), given.contains("layers"));
  train_options().require_unchanged(stored, given, settings.options(), where);
  return settings;
}

OptionMap TrainSettings::options() const {
  auto out = CommonSettings::options();
  out["corpus"] = corpus.corpus;
  out["data-dir"] = corpus.data_dir;
  out["synthetic-length"] = std::to_string(corpus.synthetic_length);
  out["embedding"] = std::to_string(embedding);
  out["valid-file"] = corpus.valid_file;
  out["test-file"] = corpus.test_file;
  out["init-from"] = init_from;
  out["boundaries"] = boundaries;
  out["roll"] = roll ? "on" : "off";
  out["embedding-dropout"] = fmt::format("{}", embedding_dropout);
  out["eval-streams"] = std::to_string(eval_streams);
  return out;
}

hmrnn::CharLMOptions TrainSettings::model(int64_t vocabulary_size) const {
  return CommonSettings::model(
      hmrnn::CharLMOptions(vocabulary_size).embedding_size(embedding).embedding_dropout(embedding_dropout));
}
