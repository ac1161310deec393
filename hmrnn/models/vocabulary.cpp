#include "hmrnn/models/vocabulary.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "hmrnn/error.h"

namespace hmrnn {
namespace {

/// "byte 0x41 ('A')", or "byte 0x0a" where the byte has no printable form.
std::string byte_text(uint8_t byte) {
  char buffer[24];
  if (byte >= 0x20 && byte < 0x7f) {
    std::snprintf(buffer, sizeof(buffer), "byte 0x%02x ('%c')", byte, byte);
  } else {
    std::snprintf(buffer, sizeof(buffer), "byte 0x%02x", byte);
  }
  return buffer;
}

}  // namespace

Vocabulary::Vocabulary(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {
  if (bytes_.empty()) throw Error("the vocabulary is empty");
  for (size_t i = 0; i < bytes_.size(); ++i) {
    if (contains(bytes_[i])) throw Error("the vocabulary names " + byte_text(bytes_[i]) + " twice");
    index_[bytes_[i]] = static_cast<int16_t>(i);
  }
}

Vocabulary Vocabulary::of(std::string_view text) {
  std::array<bool, 256> seen{};
  for (const char c : text) seen[static_cast<uint8_t>(c)] = true;
  std::vector<uint8_t> bytes;
  for (size_t byte = 0; byte < seen.size(); ++byte) {
    if (seen[byte]) bytes.push_back(static_cast<uint8_t>(byte));
  }
  return Vocabulary(std::move(bytes));
}

bool Vocabulary::is_ascii() const {
  return std::all_of(bytes_.begin(), bytes_.end(), [](uint8_t byte) { return byte < 0x80; });
}

int64_t Vocabulary::index(uint8_t byte) const {
  if (!contains(byte)) throw Error(byte_text(byte) + " is not in the vocabulary");
  return index_[byte];
}

Vocabulary Vocabulary::joined_with(const Vocabulary& other) const {
  auto bytes = bytes_;
  for (const auto byte : other.bytes_) {
    if (!contains(byte)) bytes.push_back(byte);
  }
  return Vocabulary(std::move(bytes));
}

torch::Tensor Vocabulary::encode(std::string_view text, const std::string& what) const {
  auto indices = torch::empty({static_cast<int64_t>(text.size())}, torch::kUInt8);
  auto* out = indices.data_ptr<uint8_t>();
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if (!contains(byte)) {
      throw Error(what + " has " + byte_text(byte) + " at offset " + std::to_string(i) +
                  ", which is not in the vocabulary");
    }
    out[i] = static_cast<uint8_t>(index_[byte]);
  }
  return indices;
}

std::string Vocabulary::decode(const torch::Tensor& indices) const {
  TORCH_CHECK(indices.defined() && indices.dim() == 1 && c10::isIntegralType(indices.scalar_type(), false),
              "Vocabulary::decode: indices must be an integer tensor [N]");
  const auto flat = indices.to(torch::kCPU, torch::kInt64).contiguous();
  const auto* in = flat.data_ptr<int64_t>();
  std::string text(static_cast<size_t>(flat.numel()), '\0');
  for (size_t i = 0; i < text.size(); ++i) {
    TORCH_CHECK_INDEX(in[i] >= 0 && in[i] < size(), "Vocabulary::decode: index ", in[i], " at position ", i,
                      " is outside the vocabulary of ", size(), " symbols");
    text[i] = static_cast<char>(bytes_[static_cast<size_t>(in[i])]);
  }
  return text;
}

}  // namespace hmrnn
