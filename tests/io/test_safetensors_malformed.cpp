// Malformed, truncated and mutated files give either hmrnn::Error with one line or a correct result.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "catch.h"
#include "hmrnn/io/safetensors.h"
#include "support/files.h"
#include "support/safetensors_bytes.h"

namespace {

/// A file of header and data; `length` replaces the header's length.
std::string file_of(const std::string& header, const std::string& data = "", int64_t length = -1) {
  const uint64_t size = length < 0 ? header.size() : static_cast<uint64_t>(length);
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes.append(header).append(data);
}

/// {"a":{...}} with these fields.
std::string tensor(const std::string& fields) { return std::string("{\"a\":{").append(fields).append("}}"); }
std::string tensor(const std::string& shape, const std::string& offsets, const std::string& dtype = "F32") {
  std::string fields = "\"dtype\":\"";
  return tensor(
      fields.append(dtype).append("\",\"shape\":").append(shape).append(",\"data_offsets\":").append(offsets));
}

std::string four(char byte = 0) { return std::string(4, byte); }

/// A file in memory: fast enough for thousands of files, and of any size.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("hmrnn_test", 0)) { REQUIRE(descriptor_ >= 0); }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return std::string("/proc/self/fd/").append(std::to_string(descriptor_)); }
  void put(std::string_view bytes) const {
    if (::ftruncate(descriptor_, 0) != 0 ||
        ::pwrite(descriptor_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      FAIL("cannot write a file in memory");
    }
  }
  bool resize(int64_t size) const { return ::ftruncate(descriptor_, size) == 0; }

 private:
  int descriptor_;
};

struct Malformed {
  std::string bytes;
  std::string message;  ///< after "PATH: "
};

void check_messages(const std::vector<Malformed>& table) {
  const MemoryFile memory;
  for (const auto& [bytes, message] : table) {
    memory.put(bytes);
    CHECK(error_of([&] { hmrnn::read_safetensors(memory.path()); }) == memory.path().append(": ").append(message));
  }
}

/// A small file with all features: metadata, several dtypes, a 0-d and an empty tensor. Without checksums, which would
/// reject all mutations alike.
std::string small_file() {
  const TemporaryFolder folder;
  hmrnn::write_safetensors(folder / "f", {{{"w", torch::arange(6, torch::kFloat32).reshape({2, 3})},
                                           {"empty", torch::ones({0, 4}, torch::kInt16)},
                                           {"scalar", torch::ones({}, torch::kFloat64)},
                                           {"flags", torch::ones({3}, torch::kBool)}},
                                          {{"hmrnn", "{\"slope\":1.5}"}}});
  return hmrnn::test::without_checksums(get(folder / "f"));
}

}  // namespace

TEST_CASE("malformed: the frame of the file") {
  check_messages({
      {"", "not a safetensors file: only 0 bytes long"},
      {std::string(7, '\1'), "not a safetensors file: only 7 bytes long"},
      {std::string(8, '\0'), "not a safetensors file: the header does not start with '{'"},
      {file_of("[]"), "not a safetensors file: the header does not start with '{'"},
      {file_of("   "), "not a safetensors file: the header does not start with '{'"},
      {file_of(" \v{}"), "not a safetensors file: the header does not start with '{'"},
      {file_of("\xEF\xBB\xBF{}"), "not a safetensors file: the header does not start with '{'"},
      {file_of("{}", "", 3), "the file is truncated: its header is said to have 3 bytes, 2 are there"},
      {file_of("{}", "", 100'000'000),
       "the file is truncated: its header is said to have 100000000 bytes, 2 are there"},
      {file_of("{}", "", 100'000'001), "its header is said to have 100000001 bytes, more than 100 MB"},
      {std::string(8, '\xFF').append("{}"), "its header is said to have 18446744073709551615 bytes, more than 100 MB"},
      {file_of("{}", "x"), "1 bytes follow the last tensor"},
      {file_of(tensor("[1]", "[0,4]"), "12345"), "1 bytes follow the last tensor"},
  });
}

TEST_CASE("malformed: JSON") {
  check_messages({
      {file_of("{"), "the header is not valid UTF-8 JSON (near its byte 2)"},
      {file_of("{}}"), "the header is not valid UTF-8 JSON (near its byte 3)"},
      {file_of("{},"), "the header is not valid UTF-8 JSON (near its byte 3)"},
      {file_of("{} {}"), "the header is not valid UTF-8 JSON (near its byte 4)"},
      {file_of(std::string("{}\0\0", 4)), "the header is not valid UTF-8 JSON (near its byte 3)"},
      {file_of(std::string("{}\0{", 4)), "the header is not valid UTF-8 JSON (near its byte 3)"},
      {file_of("{\"a\xFF\":1}"), "the header is not valid UTF-8 JSON (near its byte 4)"},
      {file_of("{\"__metadata__\":{\"k\":\"\xC0\x80\"}}"), "the header is not valid UTF-8 JSON (near its byte 23)"},
      {file_of("{\"__metadata__\":{\"k\":\"\\ud800\"}}"), "the header is not valid UTF-8 JSON (near its byte 29)"},
      {file_of("{\"a\n\":1}"), "the header is not valid UTF-8 JSON (near its byte 4)"},
      {file_of("{'a':1}"), "the header is not valid UTF-8 JSON (near its byte 2)"},
      {file_of("{/**/}"), "the header is not valid UTF-8 JSON (near its byte 2)"},
  });
}

TEST_CASE("malformed: names and metadata") {
  check_messages({
      {file_of("{\"a\":1}"), "tensor \"a\" must be a JSON object, found a number"},
      {file_of("{\"a\":[]}"), "tensor \"a\" must be a JSON object, found an array"},
      {file_of("{\"a\":null}"), "tensor \"a\" must be a JSON object, found null"},
      {file_of("{\"a\\n\xC3\xA4\":true}"), "tensor \"a\\n\\u00e4\" must be a JSON object, found a boolean"},
      {file_of("{\"__metadata__\":null,\"__metadata__\":{}}"), "the name \"__metadata__\" appears twice"},
      {file_of("{\"__metadata__\":\"x\"}"), "__metadata__ must be a JSON object, found a string"},
      {file_of("{\"__metadata__\":{\"k\":1}}"), "the metadata of key \"k\" must be a string, found a number"},
      {file_of("{\"__metadata__\":{\"k\":-1.5}}"), "the metadata of key \"k\" must be a string, found the number -1.5"},
      {file_of("{\"__metadata__\":{\"k\":{}}}"), "the metadata of key \"k\" must be a string, found an object"},
      {file_of("{\"__metadata__\":{\"k\":[]}}"), "the metadata of key \"k\" must be a string, found an array"},
      {file_of("{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}}"), "the metadata key \"k\" appears twice"},
      {file_of("{\"__metadata__\":{},\"__metadata__\":{}}"), "the name \"__metadata__\" appears twice"},
      {file_of(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"\u0061":{}})"),
       "the name \"a\" appears twice"},
      {file_of(std::string("{\"").append(200, 'n').append("\":1}")),
       std::string("tensor \"").append(120, 'n').append("...\" must be a JSON object, found a number")},
  });
}

TEST_CASE("malformed: fields of a tensor") {
  check_messages({
      {file_of(tensor("")), "tensor \"a\" has no dtype"},
      {file_of(tensor("\"dtype\":\"F32\"")), "tensor \"a\" has no shape"},
      {file_of(tensor("\"dtype\":\"F32\",\"shape\":[]")), "tensor \"a\" has no data_offsets"},
      {file_of(tensor("\"dtype\":\"F32\",\"extra\":1")), "tensor \"a\" has the unknown field \"extra\""},
      {file_of(tensor("\"shape\":[1],\"shape\":[1]")), "tensor \"a\" has the field \"shape\" twice"},
      {file_of(tensor("[1]", "[0,4]", "F31"), four()), "tensor \"a\" has the unknown dtype \"F31\""},
      {file_of(tensor("[1]", "[0,4]", "f32"), four()), "tensor \"a\" has the unknown dtype \"f32\""},
      {file_of(tensor("[1]", "[0,4]", "F8_E4M3"), four()), "tensor \"a\" has the unknown dtype \"F8_E4M3\""},
      {file_of(tensor("\"dtype\":1")), "tensor \"a\": dtype must be a string, found a number"},
      {file_of(tensor("\"dtype\":[\"F32\"]")), "tensor \"a\": dtype must be a string, found an array"},
      {file_of(tensor("4", "[0,4]"), four()), "tensor \"a\": shape must be an array, found a number"},
      {file_of(tensor("\"4\"", "[0,4]"), four()), "tensor \"a\": shape must be an array, found a string"},
      {file_of(tensor("{}", "[0,4]"), four()), "tensor \"a\": shape must be an array, found an object"},
      {file_of(tensor("[1]", "4"), four()), "tensor \"a\": data_offsets must be an array, found a number"},
      {file_of(tensor("[-1]", "[0,4]"), four()),
       "tensor \"a\": shape must hold integers from 0 to 2^63 - 1, found a negative number"},
      {file_of(tensor("[1.0]", "[0,4]"), four()),
       "tensor \"a\": shape must hold integers from 0 to 2^63 - 1, found the number 1.0"},
      {file_of(tensor("[\"1\"]", "[0,4]"), four()),
       "tensor \"a\": shape must hold integers from 0 to 2^63 - 1, found a string"},
      {file_of(tensor("[[1]]", "[0,4]"), four()),
       "tensor \"a\": shape must hold integers from 0 to 2^63 - 1, found an array"},
      {file_of(tensor("[9223372036854775808]", "[0,4]"), four()),
       "tensor \"a\": shape must hold integers from 0 to 2^63 - 1, found 9223372036854775808"},
      {file_of(tensor("[18446744073709551616]", "[0,4]"), four()),
       "tensor \"a\": shape must hold integers from 0 to 2^63 - 1, found the number 18446744073709551616"},
      {file_of(tensor("[1]", "[0]"), four()), "tensor \"a\" has fewer than two data_offsets"},
      {file_of(tensor("[1]", "[0,4,8]"), four()), "tensor \"a\" has more than two data_offsets"},
      {file_of(tensor("[1]", "[0,-4]"), four()),
       "tensor \"a\": data_offsets must hold two non-negative integers, found a negative number"},
      {file_of(tensor("[1]", "[0,null]"), four()),
       "tensor \"a\": data_offsets must hold two non-negative integers, found null"},
  });
}

TEST_CASE("malformed: sizes and offsets") {
  const auto two = [](const std::string& first, const std::string& second) {
    std::string text = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":";
    return text.append(first)
        .append("},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":")
        .append(second)
        .append("}}");
  };
  check_messages({
      {file_of(tensor("[1]", "[4,0]"), four()), "tensor \"a\": data_offsets [4,0] end before they begin"},
      {file_of(tensor("[2]", "[0,4]"), four()),
       "tensor \"a\": data_offsets [0,4] do not hold the 8 bytes of its dtype and shape"},
      {file_of(tensor("[0]", "[0,4]"), four()),
       "tensor \"a\": data_offsets [0,4] do not hold the 0 bytes of its dtype and shape"},
      {file_of(tensor("[]", "[0,0]")),
       "tensor \"a\": data_offsets [0,0] do not hold the 4 bytes of its dtype and shape"},
      {file_of(tensor("[1]", "[0,4]", "F64"), four()),
       "tensor \"a\": data_offsets [0,4] do not hold the 8 bytes of its dtype and shape"},
      {file_of(tensor("[1]", "[0,4]")), "tensor \"a\": data_offsets [0,4] go past the 0 bytes of data in the file"},
      {file_of(tensor("[1]", "[0,4]"), "123"),
       "tensor \"a\": data_offsets [0,4] go past the 3 bytes of data in the file"},
      {file_of(tensor("[1]", "[4,8]"), four() + four()), "tensor \"a\": data_offsets [4,8] leave a hole after byte 0"},
      {file_of(tensor("[1]", "[18446744073709551612,0]"), four()),
       "tensor \"a\": data_offsets [18446744073709551612,0] end before they begin"},
      {file_of(tensor("[2305843009213693952]", "[0,0]")), "tensor \"a\": the shape is too large"},
      {file_of(tensor("[4294967296,4294967296]", "[0,0]")), "tensor \"a\": the shape is too large"},
      {file_of(tensor("[0,4611686018427387904,4611686018427387904]", "[0,0]")), "tensor \"a\": the shape is too large"},
      {file_of(tensor("[4611686018427387904,4611686018427387904,0]", "[0,0]")), "tensor \"a\": the shape is too large"},
      {file_of(tensor("[1152921504606846976]", "[0,4611686018427387904]"), four()),
       "tensor \"a\": data_offsets [0,4611686018427387904] go past the 4 bytes of data in the file"},
      {file_of(two("[0,4]", "[0,4]"), four()), "tensor \"b\": data_offsets [0,4] overlap the bytes before 4"},
      {file_of(two("[0,4]", "[2,6]"), four() + four()), "tensor \"b\": data_offsets [2,6] overlap the bytes before 4"},
      {file_of(two("[0,4]", "[5,9]"), four() + four()), "tensor \"b\": data_offsets [5,9] leave a hole after byte 4"},
      {file_of(two("[5,9]", "[0,4]"), four() + four()), "tensor \"a\": data_offsets [5,9] leave a hole after byte 4"},
      {file_of(tensor("[0]", "[4,4]"), four()), "tensor \"a\": data_offsets [4,4] leave a hole after byte 0"},
      {file_of(tensor("[4]", "[0,4]", "BOOL"), std::string("\0\1\2\0", 4)),
       "tensor \"a\" of dtype BOOL holds the byte 2"},
  });
}

TEST_CASE("what the reference implementation takes beyond the letter of the format") {
  const MemoryFile memory;
  for (const std::string header : {"{\"__metadata__\":null}", " \t\r\n{}", "{}\n "}) {
    memory.put(file_of(header));
    const auto file = hmrnn::read_safetensors(memory.path());
    CHECK(file.tensors.empty());
    CHECK(file.metadata.empty());
    CHECK_FALSE(file.verified);
  }
}

TEST_CASE("malformed: nesting and many dimensions") {
  std::string deep = "{\"a\":";
  for (int i = 0; i < 1'000'000; ++i) deep += "{\"a\":";
  std::string ones = "[1";
  for (int i = 1; i < 65; ++i) ones += ",1";
  check_messages({
      {file_of(deep), "tensor \"a\" has the unknown field \"a\""},
      {file_of(std::string("{\"a\":").append(2'000'000, '[')), "tensor \"a\" must be a JSON object, found an array"},
      {file_of(std::string("{\"a\":{\"shape\":").append(2'000'000, '[')),
       "tensor \"a\": shape must hold integers from 0 to 2^63 - 1, found an array"},
      {file_of(tensor(ones.append("]"), "[0,4]"), four()), "tensor \"a\" has more than 64 dimensions"},
  });
}

TEST_CASE("a sparse file that claims more than any machine has") {
  const MemoryFile memory;
  constexpr int64_t kSize = int64_t{1} << 52;  // bytes: more than any address space
  const std::string bytes = file_of(tensor("[1125899906842624]", "[0,4503599627370496]"));
  memory.put(bytes);
  REQUIRE(memory.resize(static_cast<int64_t>(bytes.size()) + kSize));
  CHECK(error_of([&] { hmrnn::read_safetensors(memory.path()); }) ==
        memory.path().append(": not enough memory for the 4503599627370496 bytes of tensor \"a\""));
}

TEST_CASE("what is not a readable file is named") {
  const TemporaryFolder folder;
  CHECK(error_of([&] { hmrnn::read_safetensors(folder / "no"); }) ==
        (folder / "no").string() + ": cannot open: No such file or directory");
  CHECK(error_of([&] { hmrnn::read_safetensors(folder.path); }) == folder.path.string() + ": not a regular file");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(error_of([&] { hmrnn::read_safetensors(folder / "pipe"); }) ==
        (folder / "pipe").string() + ": not a regular file");
}

TEST_CASE("a file truncated after any byte, and one with a byte more") {
  const MemoryFile memory;
  const std::string bytes = small_file();
  memory.put(bytes);
  REQUIRE(hmrnn::read_safetensors(memory.path()).tensors.size() == 4);
  for (size_t size = 0; size < bytes.size(); ++size) {
    memory.put(std::string_view(bytes).substr(0, size));
    INFO(size);
    CHECK_THROWS_AS(hmrnn::read_safetensors(memory.path()), hmrnn::Error);
  }
  memory.put(bytes + '\0');
  CHECK_THROWS_AS(hmrnn::read_safetensors(memory.path()), hmrnn::Error);
}

TEST_CASE("mutated files are refused in one line or read as what they say") {
  const MemoryFile memory;
  const std::string original = small_file();
  const std::string prefix = memory.path().append(": ");
  const std::vector<std::string> tokens{"{",
                                        "}",
                                        "[",
                                        "]",
                                        ",",
                                        ":",
                                        "\"",
                                        "\\",
                                        "null",
                                        "-1",
                                        "1e9",
                                        "0",
                                        "4",
                                        "F32",
                                        "BOOL",
                                        "shape",
                                        "\xFF",
                                        "\\u00",
                                        "[[[[",
                                        "\"w\":",
                                        "\"dtype",
                                        "\n",
                                        "__metadata__",
                                        "99999999999999999999",
                                        "9223372036854775807",
                                        std::string(1, '\0')};
  std::mt19937 random(20160801);
  const auto below = [&random](size_t n) { return static_cast<size_t>(random() % n); };
  int refused = 0, accepted = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string bytes = original;
    for (size_t change = 0, changes = 1 + below(3); change < changes; ++change) {
      // mostly in the header, sometimes in its length or in the data
      const size_t at = below(10) == 0 ? below(bytes.size()) : 8 + below(bytes.size() - 8);
      switch (below(5)) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
          break;
        case 2:
          bytes.erase(at, 1 + below(8));
          break;
        case 3:
          bytes.insert(at, tokens[below(tokens.size())]);
          break;
        default: {
          const std::string& token = tokens[below(tokens.size())];
          bytes.replace(at, token.size(), token);
        }
      }
      if (bytes.size() < 20) bytes = original;
    }
    // Half of them with a correct length, so that the mutation itself is found.
    if (below(2) == 0) {
      const uint64_t length = bytes.rfind('}') == std::string::npos ? 0 : bytes.rfind('}') + 1 - 8;
      if (bytes.rfind('}') != std::string::npos && bytes.rfind('}') >= 8) std::memcpy(bytes.data(), &length, 8);
    }
    memory.put(bytes);
    try {
      const hmrnn::SafeTensors file = hmrnn::read_safetensors(memory.path());
      ++accepted;
      size_t total = 0;
      for (const auto& item : file.tensors) total += item.second.nbytes();
      CHECK(total < bytes.size());
    } catch (const hmrnn::Error& error) {
      ++refused;
      const std::string text = error.what();
      if (text.rfind(prefix, 0) != 0 || text.find('\n') != std::string::npos || text.size() > prefix.size() + 400) {
        FAIL_CHECK("not one clear line: " << text);
      }
    }
  }
  // Both results must occur, else the mutations prove nothing. Other data, names or metadata are accepted.
  CHECK(refused > 1000);
  CHECK(accepted > 100);
}
