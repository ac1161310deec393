#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace hmrnn {

// Writing of untrusted text into XML. Internal, not exported from the libraries.

/// `text` as the content of an XML element: escaped, and well-formed whatever the bytes. Bytes that are not UTF-8,
/// control characters (C0 except tab and line end, DEL, C1) and the two other characters that XML forbids, U+FFFE and
/// U+FFFF, become U+FFFD.
inline std::string xml_text(std::string_view text) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
  // The JSON library's writer finds what is not UTF-8 and replaces it.
  const auto quoted =
      nlohmann::json(std::string(text)).dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
  const auto valid = nlohmann::json::parse(quoted).get<std::string>();
  std::string out;
  for (std::string_view rest = valid; !rest.empty();) {
    const auto byte = static_cast<unsigned char>(rest[0]);
    size_t length = 1;
    if (byte == '&') {
      out += "&amp;";
    } else if (byte == '<') {
      out += "&lt;";
    } else if (byte == '>') {
      out += "&gt;";
    } else if ((byte < 0x20 && byte != '\t' && byte != '\n') || byte == 0x7f) {
      out += kReplacement;
    } else if (byte == 0xc2 && static_cast<unsigned char>(rest[1]) < 0xa0) {  // C1: U+0080 to U+009F
      out += kReplacement;
      length = 2;
    } else if (rest.starts_with("\xef\xbf\xbe") || rest.starts_with("\xef\xbf\xbf")) {  // U+FFFE, U+FFFF
      out += kReplacement;
      length = 3;
    } else {
      out += rest[0];
    }
    rest.remove_prefix(length);
  }
  return out;
}

}  // namespace hmrnn
