#include "hmrnn/train/char_lm_checkpoint.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "hmrnn/error.h"
#include "hmrnn/io/checkpoint.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/train/char_lm_metadata.h"

namespace hmrnn {

namespace {

constexpr int kFormat = 1;
constexpr const char* kKind = "char_lm";
using Json = nlohmann::ordered_json;

/// The model is built before its tensors are compared with the file's, so sizes that the file does not bear out must not
/// reach an allocation.
void check_sizes(const CharLMOptions& options, const SafeTensors& file, const std::string& where) {
  const auto expect = [&](const std::string& name, int64_t dim, int64_t size, const std::string& what) {
    const auto tensor = file.find(name);
    if (!tensor.defined()) throw Error(where + ": tensor " + name + " is missing");
    if (tensor.dim() != 2 || tensor.size(dim) != size) {
      throw Error(where + ": tensor " + name + " has shape " + c10::str(tensor.sizes()) + ", which does not fit the " +
                  what + " " + std::to_string(size) + " of its metadata");
    }
  };
  expect("embedding.weight", 0, options.vocabulary_size(), "vocabulary of size");
  expect("embedding.weight", 1, options.embedding_size(), "embedding size");
  const std::string core = to_string(options.core());
  const auto& sizes = options.hidden_sizes();
  for (size_t l = 0; l < sizes.size(); ++l) {
    expect(core + ".layers." + std::to_string(l) + ".recurrent", 1, sizes[l], "layer size");
  }
  expect("output.softmax.weight", 1, options.output_embedding_size(), "output embedding size");
}

CharLMOptions parse_options(const Json& json, int64_t vocabulary_size) {
  CharLMOptions options(vocabulary_size);
  options.embedding_size(json.at("embedding_size").get<int64_t>());
  options.hidden_sizes(json.at("hidden_sizes").get<std::vector<int64_t>>());
  options.output_embedding_size(json.at("output_embedding_size").get<int64_t>());
  options.core(parse_core(json.at("core").get<std::string>()));
  options.layer_norm(json.at("layer_norm").get<bool>());
  options.boundary(parse_boundary_mode(json.at("boundary").get<std::string>()));
  options.forget_bias(json.at("forget_bias").get<double>());
  options.boundary_bias(json.at("boundary_bias").get<double>());
  options.dropout(json.at("dropout").get<double>());
  if (options.hidden_sizes().empty()) throw Error("hidden_sizes is empty");
  if (!(options.dropout() >= 0 && options.dropout() < 1)) throw Error("dropout is not in [0, 1)");
  return options;
}

}  // namespace

TextCorpusOptions CorpusReference::options() const {
  TextCorpusOptions out;
  out.corpus = corpus;
  std::error_code error;
  if (!data_dir.empty() && std::filesystem::is_directory(data_dir, error)) out.data_dir = data_dir;
  if (synthetic_length > 0) out.synthetic_length = synthetic_length;
  if (synthetic_length > 0) out.seed = synthetic_seed;
  return out;
}

Json describe_char_lm(const CharLMOptions& options, double slope, const Vocabulary& vocabulary,
                      const CorpusReference& corpus) {
  Json about = {{"name", corpus.corpus}, {"data_dir", corpus.data_dir}};
  if (corpus.corpus == "synthetic") {
    about["length"] = corpus.synthetic_length;
    about["seed"] = corpus.synthetic_seed;
  }
  return {{"format", kFormat},
          {"kind", kKind},
          {"core", to_string(options.core())},
          {"embedding_size", options.embedding_size()},
          {"hidden_sizes", options.hidden_sizes()},
          {"output_embedding_size", options.output_embedding_size()},
          {"layer_norm", options.layer_norm()},
          {"boundary", to_string(options.boundary())},
          {"slope", slope},
          {"forget_bias", options.forget_bias()},
          {"boundary_bias", options.boundary_bias()},
          {"dropout", options.dropout()},
          {"vocabulary", vocabulary.bytes()},
          {"corpus", about}};
}

CharLMCheckpoint load_char_lm(const std::filesystem::path& path) {
  const auto where = path.string();
  const auto file = read_safetensors(path);
  const auto found = file.metadata.find("hmrnn");
  if (found == file.metadata.end()) throw Error(where + ": no metadata under the key hmrnn, so no model of this project");
  const auto json = Json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw Error(where + ": the metadata under the key hmrnn are not a JSON object");

  CharLMCheckpoint out;
  std::optional<CharLMOptions> options;
  double slope = 1;
  try {
    if (json.at("kind") != kKind) throw Error("this is not a character model but: " + json.at("kind").dump());
    if (json.at("format") != kFormat) throw Error("unknown format " + json.at("format").dump());
    std::vector<uint8_t> bytes;
    for (const auto& value : json.at("vocabulary")) {
      if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > 255) {
        throw Error("vocabulary has " + value.dump() + ", which is not a byte value");
      }
      bytes.push_back(static_cast<uint8_t>(value.get<int64_t>()));
    }
    out.vocabulary = Vocabulary(std::move(bytes));
    options = parse_options(json, out.vocabulary.size());
    slope = json.at("slope").get<double>();
    if (!(std::isfinite(slope) && slope > 0)) throw Error("slope is not a finite number above 0");
    out.step = json.value("step", int64_t{0});
    if (json.contains("corpus")) {
      const auto& corpus = json["corpus"];
      out.corpus.corpus = corpus.at("name").get<std::string>();
      out.corpus.data_dir = corpus.value("data_dir", "");
      out.corpus.synthetic_length = corpus.value("length", int64_t{0});
      out.corpus.synthetic_seed = corpus.value("seed", uint64_t{0});
    }
  } catch (const nlohmann::json::exception& error) {
    throw Error(where + ": malformed metadata: " + error.what());
  } catch (const Error& error) {
    throw Error(where + ": " + error.what());
  }
  check_sizes(*options, file, where);
  out.model = CharLM(*options);
  unpack_module(*out.model, file, where, /*buffers=*/false);
  for (const auto& [name, tensor] : file.tensors) {
    if (!torch::isfinite(tensor).all().item<bool>()) throw Error(where + ": tensor " + name + " has values that are not finite");
  }
  out.model->set_slope(slope);
  out.model->eval();
  return out;
}

}  // namespace hmrnn
