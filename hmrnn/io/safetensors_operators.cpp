// Reading and writing safetensors as operators, hmrnn::_read_safetensors and hmrnn::_write_safetensors, so that the
// Python package checks files as the programs do, checksums included, and writes what they write.
#include <ATen/core/Dict.h>
#include <torch/library.h>

#include "hmrnn/io/safetensors.h"

namespace hmrnn {

namespace {

using Tensors = c10::Dict<std::string, at::Tensor>;
using Metadata = c10::Dict<std::string, std::string>;

std::tuple<Tensors, Metadata> read(const std::string& path) {
  const auto file = read_safetensors(path);
  Tensors tensors;
  for (const auto& [name, tensor] : file.tensors) tensors.insert(name, tensor);
  Metadata metadata;
  for (const auto& [key, value] : file.metadata) metadata.insert(key, value);
  return {tensors, metadata};
}

void write(const std::string& path, const Tensors& tensors, const Metadata& metadata) {
  SafeTensors file;
  for (const auto& entry : tensors) file.tensors.emplace_back(entry.key(), entry.value());
  for (const auto& entry : metadata) file.metadata.emplace(entry.key(), entry.value());
  write_safetensors(path, file);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hmrnn, m) {
  m.def("_read_safetensors(str path) -> (Dict(str, Tensor) tensors, Dict(str, str) metadata)", read);
  m.def("_write_safetensors(str path, Dict(str, Tensor) tensors, Dict(str, str) metadata) -> ()", write);
}

}  // namespace hmrnn
