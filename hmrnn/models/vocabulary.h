#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// The symbols of a text model: byte values, each with an index 0 … size-1.
class HMRNN_API Vocabulary {
 public:
  Vocabulary() = default;

  /// `bytes` in index order. Throws hmrnn::Error if it is empty or names a byte twice.
  explicit Vocabulary(std::vector<uint8_t> bytes);

  /// The byte values that occur in `text`, in ascending order; throws hmrnn::Error if `text` is empty.
  static Vocabulary of(std::string_view text);

  /// number of symbols
  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }
  /// the byte values in index order
  const std::vector<uint8_t>& bytes() const { return bytes_; }
  /// `byte` is a symbol
  bool contains(uint8_t byte) const { return index_[byte] >= 0; }

  /// Whether all bytes are below 0x80, so that every symbol is a character. UTF-8 encodes any other character as
  /// several bytes of 0x80 and above.
  bool is_ascii() const;

  /// Index of `byte`; throws hmrnn::Error naming the byte if it is not in the vocabulary.
  int64_t index(uint8_t byte) const;

  /// uint8 [N] (indices, CPU). Throws hmrnn::Error for a byte that is not in the vocabulary; `what` names the text in
  /// it: "TEXT has byte 0x41 ('A') at offset 17, which is not in the vocabulary".
  torch::Tensor encode(std::string_view text, const std::string& what = "the text") const;

  /// The bytes of an integer tensor [N] of indices; throws c10::IndexError for an index outside the vocabulary.
  std::string decode(const torch::Tensor& indices) const;

  /// This vocabulary, and after it the symbols of `other` that it lacks, in their order.
  Vocabulary joined_with(const Vocabulary& other) const;

  /// the same bytes in the same order
  bool operator==(const Vocabulary& other) const { return bytes_ == other.bytes_; }

 private:
  std::vector<uint8_t> bytes_;
  std::array<int16_t, 256> index_ = [] {
    std::array<int16_t, 256> a{};
    a.fill(-1);
    return a;
  }();
};

}  // namespace hmrnn
