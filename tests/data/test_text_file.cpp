// Reading a file as a text: plain, as .xz, and what is refused.
#include <sys/stat.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catch.h"
#include "hmrnn/data/text_corpus.h"
#include "hmrnn/data/xz_file.h"
#include "support/corpus.h"
#include "support/files.h"

using hmrnn::read_text_file;
using namespace hmrnn::test;
using namespace std::string_literals;

namespace {

/// The numbers 0 … 99, each followed by a space, and the same as an .xz file.
std::string numbers() {
  std::string all;
  for (int i = 0; i < 100; ++i) all += std::to_string(i) + " ";
  return all;
}

constexpr std::string_view kNumbersXz =
    "fd377a585a000004e6d6b4460200210116000000742fe5a3e0012100875d0018080286490fb87cadf6ea2ae90c6993503ed0"
    "089f8f45b497e796ee21cf1ef38bbc3161e27d014cc147ab28765ea0c91f24a9f0102360a66ad1d1161a0774ec16b29de6a8"
    "3520aa6f565d95f1218bc5adc4ac7e55012affda62ff46296ba9c30fb4f06650c634989725cad0aafcccbfa0103f4268200d"
    "cd495b67a67b990503269894ae1b460a0000135d727b2322b3820001a301a2020000cd9b5b85b1c467fb020000000004595a";

constexpr std::string_view kNothingXz = "fd377a585a000004e6d6b446000000001cdf44211fb6f37d010000000004595a";

std::string from_hex(std::string_view digits) {
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

}  // namespace

TEST_CASE(".xz files are decompressed") {
  TemporaryFolder folder;
  const auto compressed = from_hex(kNumbersXz);
  const auto packed = folder.write("text8.xz", compressed);
  if (!hmrnn::has_libarchive()) {
    CHECK(error_of([&] { read_text_file(packed); }) ==
          "cannot read " + packed.string() + ": this build is without libarchive; unpack it");
    return;
  }
  CHECK(read_text_file(folder.path / "text8.xz") == numbers());
  CHECK(text_of(load_corpus("text8", folder.path), "all") == numbers());
  CHECK(text_of(load_corpus((folder.path / "text8.xz").string()), "all") == numbers());
  folder.write("two_streams.xz", compressed + compressed);
  CHECK(read_text_file(folder.path / "two_streams.xz") == numbers() + numbers());

  const auto nothing = folder.write("nothing.xz", from_hex(kNothingXz));
  CHECK(error_of([&] { read_text_file(nothing); }) == nothing.string() + " is empty");
  const auto plain = folder.write("plain.xz", "this is not compressed");
  CHECK(error_of([&] { read_text_file(plain); }) == plain.string() + " is not an xz file");
  const auto hollow = folder.write("hollow.xz", "");
  CHECK(error_of([&] { read_text_file(hollow); }) == hollow.string() + " is empty");

  for (const size_t length : {compressed.size() / 4, compressed.size() / 2, compressed.size() - 1}) {
    CAPTURE(length);
    const auto cut = folder.write("cut.xz", compressed.substr(0, length));
    CHECK_THAT(error_of([&] { read_text_file(cut); }), ContainsSubstring("cannot decompress " + cut.string()));
  }
  auto flipped = compressed;
  flipped[flipped.size() / 2] ^= 0x20;
  const auto bad = folder.write("bad.xz", flipped);
  CHECK_THAT(error_of([&] { read_text_file(bad); }), ContainsSubstring("cannot decompress " + bad.string()));
}

TEST_CASE("what is packed in another way, and what is no regular file, is refused and not read as text") {
  const TemporaryFolder folder;
  using namespace std::string_literals;
  const std::vector<std::pair<std::string, std::string>> packed = {
      {"\x1f\x8b\x08\0rest"s, "gzip"},         {"BZh91AY&SY"s, "bzip2"},
      {"\x28\xb5\x2f\xfd rest"s, "Zstandard"}, {"PK\3\4rest"s, "zip"},
      {"7z\xbc\xaf\x27\x1crest"s, "7z"},       {"Rar!\x1a\7\0"s, "rar"},
      {"\x04\x22\x4d\x18rest"s, "lz4"},        {"LZIP\1"s, "lzip"}};
  for (const auto& [bytes, kind] : packed) {
    const auto path = folder.write("text", bytes);
    CHECK(error_of([&] { read_text_file(path); }) ==
          path.string() + " is packed (" + kind + "), not a text; unpack it first");
  }
  const auto path = folder.write("text", "\xfd"s + "7zXZ\0rest"s);
  CHECK_THAT(error_of([&] { read_text_file(path); }),
             ContainsSubstring("packed (xz), not a text; its name must end in .xz"));
  for (const std::string text :
       {"BZh is no number", "PK", "7z", "LZ", "Rar", "\x1f"}) {  // text that looks similar to a magic number
    CHECK(read_text_file(folder.write("text", text)) == text);
  }
  const auto pipe = folder.path / "pipe.xz";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(error_of([&] { read_text_file(pipe); }) == pipe.string() + " is not a regular file");
  CHECK(error_of([&] { read_text_file("/dev/zero"); }) == "/dev/zero is not a regular file");
}
