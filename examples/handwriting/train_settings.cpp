#include "train_settings.h"

#include <fmt/format.h>

#include "examples/program/initial_weights.h"
#include "hmrnn/error.h"
#include "hmrnn/run/run_folder.h"

using hmrnn::Error;

namespace {

constexpr int64_t kMaxMixtures = 1024;

const TrainOptions& train_options() {
  static const TrainOptions all(
      {{"corpus", "NAME", "", false, kData, "synthetic, or iam, which --data-dir implies (default: synthetic)"},
       {"data-dir", "DIR", "", true, kData,
        "IAM-OnDB: a folder of lineStrokes files, or their archive (default: $HMRNN_DATA_DIR/iam_ondb, "
        "data/iam_ondb)"},
       {"init-from", "RUN", "", false, kData,
        "start from the weights of this run or model.safetensors, with its sizes and its normalisation of x and y"},
       {"split", "NAME", "paper", false, kData,
        "paper (10465 / 581 / 582, by form), lines (the same by line) or graves (the form lists)"},
       {"split-seed", "N", "1", false, kData, "of the splits paper and lines"},
       {"scale-jitter", "X", "0", false, kRecipe,
        "in each epoch, scale x and y of each training line by factors between 1 - X and 1 + X"},
       {"coordinates", "KIND", "offsets", false, kData, "offsets from point to point, or absolute"},
       {"min-points", "N", "300", false, kData, "lines with fewer points are dropped"},
       {"on-bad-file", "WHAT", "stop", false, kData, "for malformed files: stop, or skip them"},
       {"synthetic-lines", "N", "1500", false, kData, "lines of the synthetic corpus"},
       {"mixtures", "N", "20", false, kModel, "Gaussians of the output mixture"}},
      {{"units", "400"},
       {"output-embedding", "400"},
       {"batch", "32"},
       {"window", "0"},
       {"lr", "0.0003"},
       {"slope-max", "3"},
       // Layer norm would hide the length of an offset: normalised W x of three inputs depends only on their direction.
       {"layer-norm", "off"}},
      {{"preset", "iam: the paper's settings for IAM-OnDB; other options override them"},
       {"layer-norm", "layer normalisation, on or off; on: --norm-gain 0.1 and --forget-bias 1, unless they are given"},
       {"batch", "lines per batch"},
       {"window", "steps of truncated back-propagation; 0: the whole line"},
       {"seed", "seed of weights, dropout, the order of the lines and Bernoulli boundaries"}},
      {{"iam",
        {{"corpus", "iam"},
         {"units", "400"},
         {"layers", "3"},
         {"output-embedding", "400"},
         {"mixtures", "20"},
         {"batch", "32"},
         {"window", "0"},
         {"lr", "0.0003"},
         {"clip", "1"},
         {"boundary", "step"},
         {"slope-rate", "0.004"},
         {"slope-max", "3"},
         {"layer-norm", "off"}}}});
  return all;
}

const std::vector<std::string> kPaths = {"data-dir", "init-from"};

/// Adds the sizes and the kind of coordinates of the model at `from` to `map`; throws hmrnn::Error if `map` contradicts
/// them.
void take_model_over(const std::string& from, OptionMap& map) {
  const auto path = hmrnn::RunFolder::find_model(from);
  const auto checkpoint = hmrnn::load_handwriting(path);
  auto sizes = sizes_of(checkpoint.model->options);
  sizes["mixtures"] = std::to_string(checkpoint.model->options.mixtures());
  sizes["coordinates"] = hmrnn::to_string(checkpoint.normalisation.coordinates);
  take_sizes_over(sizes, path.string(), map);
}

/// With layer norm at its usual gain, the gradients of a long line overflow at the start (examples/recipes/README.md).
void temper_layer_norm(OptionMap& map) {
  const auto layer_norm = map.find("layer-norm");
  if (layer_norm == map.end() || layer_norm->second != "on") return;
  map.try_emplace("norm-gain", "0.1");
  map.try_emplace("forget-bias", "1");
}

TrainSettings parse_settings(OptionMap map, bool layers_given) {
  TrainSettings out;
  auto& corpus = out.corpus;
  corpus.data_dir = option_of(map, "data-dir");
  if (option_of(map, "corpus").empty()) map["corpus"] = corpus.data_dir.empty() ? "synthetic" : "iam";
  static_cast<CommonSettings&>(out) = CommonSettings::parse(map, layers_given, /*least_window=*/0);
  corpus.corpus = parse_choice("corpus", option_of(map, "corpus"), {"synthetic", "iam"});
  if (!corpus.data_dir.empty() && corpus.corpus != "iam") {
    throw Error("--data-dir is for iam; the corpus is " + corpus.corpus);
  }
  corpus.split = parse_choice("split", option_of(map, "split"), {"paper", "lines", "graves"});
  corpus.split_seed = static_cast<uint64_t>(parse_integer("split-seed", option_of(map, "split-seed"), 0));
  corpus.min_points = parse_integer("min-points", option_of(map, "min-points"), 2);
  corpus.on_bad_file = parse_choice("on-bad-file", option_of(map, "on-bad-file"), {"stop", "skip"});
  corpus.synthetic_lines =
      parse_integer("synthetic-lines", option_of(map, "synthetic-lines"), 3, hmrnn::kMostSyntheticLines);
  out.coordinates =
      hmrnn::parse_ink_coordinates(parse_choice("coordinates", option_of(map, "coordinates"), {"offsets", "absolute"}));
  out.scale_jitter = parse_below_one("scale-jitter", option_of(map, "scale-jitter"));
  out.init_from = option_of(map, "init-from");
  out.mixtures = parse_integer("mixtures", option_of(map, "mixtures"), 1, kMaxMixtures);
  return out;
}

}  // namespace

std::vector<OptionSpec> TrainSettings::specs() { return train_options().specs(); }

TrainSettings TrainSettings::create(const OptionMap& given) {
  auto map = with_absolute_paths(given, kPaths);
  if (const auto from = map.find("init-from"); from != map.end()) {
    take_model_over(from->second, map);
  } else {
    temper_layer_norm(map);
  }
  return parse_settings(train_options().create(map), given.contains("layers"));
}

TrainSettings TrainSettings::resumed(const OptionMap& stored, const OptionMap& given, const std::string& where) {
  const auto settings =
      parse_settings(train_options().resume(stored, with_absolute_paths(given, kPaths)), given.contains("layers"));
  train_options().require_unchanged(stored, given, settings.options(), where);
  return settings;
}

OptionMap TrainSettings::options() const {
  auto out = CommonSettings::options();
  out["corpus"] = corpus.corpus;
  out["data-dir"] = corpus.data_dir;
  out["split"] = corpus.split;
  out["split-seed"] = std::to_string(corpus.split_seed);
  out["coordinates"] = hmrnn::to_string(coordinates);
  out["min-points"] = std::to_string(corpus.min_points);
  out["on-bad-file"] = corpus.on_bad_file;
  out["synthetic-lines"] = std::to_string(corpus.synthetic_lines);
  out["scale-jitter"] = fmt::format("{}", scale_jitter);
  out["init-from"] = init_from;
  out["mixtures"] = std::to_string(mixtures);
  return out;
}

hmrnn::HandwritingOptions TrainSettings::model() const {
  return CommonSettings::model(hmrnn::HandwritingOptions().mixtures(mixtures));
}
