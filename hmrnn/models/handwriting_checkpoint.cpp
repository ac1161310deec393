#include "hmrnn/models/handwriting_checkpoint.h"

#include "hmrnn/io/json_text.h"
#include "hmrnn/models/model_metadata.h"

namespace hmrnn {

namespace {

constexpr const char* kHandwritingKind = "handwriting";
constexpr int64_t kMaxMixtures = 1 << 20;

void check_sizes(const HandwritingOptions& options, const SafeTensors& file, const std::string& where) {
  expect_layer_sizes(options, file, where);
  expect_size(file, where, "mixture.linear.weight", 1, options.output_embedding_size(), "output embedding size");
  expect_size(file, where, "mixture.linear.weight", 0, 6 * options.mixtures() + 1, "mixture's number of outputs");
}

InkReference read_reference(const Json& json) {
  InkReference out;
  out.corpus = json.at("name").get<std::string>();
  out.data_dir = json.value("data_dir", "");
  out.split = json.at("split").get<std::string>();
  out.split_seed = json.at("split_seed").get<uint64_t>();
  out.min_points = json.at("min_points").get<int64_t>();
  out.on_bad_file = json.at("on_bad_file").get<std::string>();
  out.synthetic_lines = json.value("lines", out.synthetic_lines);
  out.synthetic_seed = json.value("seed", out.synthetic_seed);
  return out;
}

}  // namespace

std::string describe_handwriting(const HandwritingOptions& options, double slope, const InkNormalisation& normalisation,
                                 const InkReference& corpus) {
  auto json = describe_model(kHandwritingKind, options, slope);
  json["mixtures"] = options.mixtures();
  json["normalisation"] = Json::parse(describe_normalisation(normalisation));
  Json about = {{"name", corpus.corpus},           {"data_dir", corpus.data_dir},
                {"split", corpus.split},           {"split_seed", corpus.split_seed},
                {"min_points", corpus.min_points}, {"on_bad_file", corpus.on_bad_file}};
  if (corpus.corpus == "synthetic") {
    about["lines"] = corpus.synthetic_lines;
    about["seed"] = corpus.synthetic_seed;
  }
  json["corpus"] = about;
  return stored_json(json);
}

HandwritingCheckpoint load_handwriting(const std::filesystem::path& path) {
  const auto where = path.string();
  const auto file = read_safetensors(path);
  HandwritingCheckpoint out;
  out.verified = file.verified;
  HandwritingOptions options;
  const auto slope = read_model_metadata(file, where, kHandwritingKind, "a handwriting model", [&](const Json& json) {
    read_model_options(json, options);
    options.mixtures(json.at("mixtures").get<int64_t>());
    if (options.mixtures() < 1 || options.mixtures() > kMaxMixtures) throw Error("mixtures is out of range");
    out.normalisation = parse_normalisation(json.at("normalisation").dump());
    out.step = json.value("step", int64_t{0});
    out.corpus = read_reference(json.at("corpus"));
    require_known_keys(json, Json::parse(describe_handwriting(options, 1, out.normalisation, out.corpus)));
  });
  check_sizes(options, file, where);
  out.model = load_model<HandwritingModel>(options, slope, file, where);
  return out;
}

}  // namespace hmrnn
