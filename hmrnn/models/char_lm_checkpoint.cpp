#include "hmrnn/models/char_lm_checkpoint.h"

#include "hmrnn/error.h"
#include "hmrnn/io/json_text.h"
#include "hmrnn/models/model_metadata.h"

namespace hmrnn {

namespace {

constexpr const char* kKind = "char_lm";

void check_sizes(const CharLMOptions& options, const SafeTensors& file, const std::string& where) {
  expect_size(file, where, "embedding.weight", 0, options.vocabulary_size(), "vocabulary of size");
  expect_size(file, where, "embedding.weight", 1, options.embedding_size(), "embedding size");
  expect_layer_sizes(options, file, where);
  expect_size(file, where, "output.softmax.weight", 0, options.vocabulary_size(), "vocabulary of size");
  expect_size(file, where, "output.softmax.weight", 1, options.output_embedding_size(), "output embedding size");
}

Vocabulary read_vocabulary(const Json& json) {
  std::vector<uint8_t> bytes;
  for (const auto& value : json) {
    if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > 255) {
      throw Error("vocabulary has " + excerpt(value) + ", which is not a byte value");
    }
    bytes.push_back(static_cast<uint8_t>(value.get<int64_t>()));
  }
  return Vocabulary(std::move(bytes));
}

}  // namespace

std::string describe_char_lm(const CharLMOptions& options, double slope, const Vocabulary& vocabulary,
                             const CorpusReference& corpus, const std::string& boundaries) {
  Json about = {{"name", corpus.corpus}, {"data_dir", corpus.data_dir}};
  if (corpus.corpus == "synthetic") {
    about["length"] = corpus.synthetic_length;
    about["seed"] = corpus.synthetic_seed;
  }
  if (!corpus.valid_file.empty()) about["valid_file"] = corpus.valid_file;
  if (!corpus.test_file.empty()) about["test_file"] = corpus.test_file;
  auto json = describe_model(kKind, options, slope);
  json["embedding_size"] = options.embedding_size();
  json["embedding_dropout"] = options.embedding_dropout();
  json["vocabulary"] = vocabulary.bytes();
  json["corpus"] = about;
  if (!boundaries.empty()) json["boundaries"] = boundaries;
  return stored_json(json);
}

CharLMCheckpoint load_char_lm(const std::filesystem::path& path) {
  const auto where = path.string();
  const auto file = read_safetensors(path);
  CharLMCheckpoint out;
  out.verified = file.verified;
  std::optional<CharLMOptions> options;
  const auto slope = read_model_metadata(file, where, kKind, "a character model", [&](const Json& json) {
    out.vocabulary = read_vocabulary(json.at("vocabulary"));
    options = CharLMOptions(out.vocabulary.size());
    options->embedding_size(json.at("embedding_size").get<int64_t>());
    options->embedding_dropout(read_dropout(json, "embedding_dropout"));
    read_model_options(json, *options);
    out.step = json.value("step", int64_t{0});
    const auto detectors =
        options->core() == Core::HMLSTM ? static_cast<int64_t>(options->hidden_sizes().size()) - 1 : 0;
    out.boundaries = GivenBoundaries(json.value("boundaries", ""), detectors, out.vocabulary.bytes());
    if (json.contains("corpus")) {
      const auto& corpus = json["corpus"];
      out.corpus.corpus = corpus.at("name").get<std::string>();
      out.corpus.data_dir = corpus.value("data_dir", "");
      out.corpus.valid_file = corpus.value("valid_file", "");
      out.corpus.test_file = corpus.value("test_file", "");
      out.corpus.synthetic_length = corpus.value("length", int64_t{0});
      out.corpus.synthetic_seed = corpus.value("seed", uint64_t{0});
    }
    require_known_keys(json,
                       Json::parse(describe_char_lm(*options, 1, out.vocabulary, out.corpus, out.boundaries.spec())));
  });
  check_sizes(*options, file, where);
  out.model = load_model<CharLM>(*options, slope, file, where);
  return out;
}

}  // namespace hmrnn
