// Fuzzes the metadata of models and of a run's state: any text under the key hmrnn, with the tensors of a small model,
// gives a model or hmrnn::Error with one line. Build: tests/fuzz/README.md.
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "hmrnn/error.h"
#include "hmrnn/io/checkpoint.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/char_lm_checkpoint.h"
#include "hmrnn/models/handwriting_checkpoint.h"
#include "hmrnn/models/handwriting_model.h"
#include "tests/fuzz/memory_file.h"

namespace {

/// The bytes of a file with these tensors and this text, without checksums, which would reject all texts but one.
std::string file_of(const hmrnn::SafeTensors& tensors, const std::string& text) {
  nlohmann::ordered_json header = {{"__metadata__", {{"hmrnn", text}}}};
  std::string data;
  for (const auto& [name, tensor] : tensors.tensors) {
    const auto begin = data.size();
    data.append(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
    header[name] = {{"dtype", "F32"}, {"shape", tensor.sizes().vec()}, {"data_offsets", {begin, data.size()}}};
  }
  const auto json = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json + data;
}

template <typename Load>
void expect_model_or_error(const Load& load, const std::string& path) {
  try {
    load(path);
  } catch (const hmrnn::Error& error) {
    expect_one_line(error.what(), path);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const MemoryFile file;
  // The sizes of the models from tests/fuzz/corpora.sh.
  static const auto text_model = hmrnn::pack_module(
      *hmrnn::CharLM(hmrnn::CharLMOptions(3).embedding_size(2).hidden_sizes({3, 2}).output_embedding_size(2)), false);
  static const auto ink_model = hmrnn::pack_module(
      *hmrnn::HandwritingModel(hmrnn::HandwritingOptions().hidden_sizes({3, 2}).output_embedding_size(2).mixtures(2)),
      false);
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto text_file = file_of(text_model, text), ink_file = file_of(ink_model, text);
  file.put(text_file.data(), text_file.size());
  expect_model_or_error(hmrnn::load_char_lm, file.path());
  file.put(ink_file.data(), ink_file.size());
  expect_model_or_error(hmrnn::load_handwriting, file.path());
  return 0;
}
