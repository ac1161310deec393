#include <string>

#include "catch.h"
#include "hmrnn/io/xml_text.h"

using hmrnn::xml_text;

TEST_CASE("text of a stranger in XML: escaped, and what XML cannot hold becomes U+FFFD") {
  const std::string bad = "\xef\xbf\xbd";  // U+FFFD
  CHECK(xml_text("") == "");
  CHECK(xml_text("a < b & \"c\" > d\t\n") == "a &lt; b &amp; \"c\" &gt; d\t\n");
  // UTF-8 of every length, with the first character behind C1, marks of direction, and U+FFFD itself.
  const std::string fine = "\xc2\xa0 \xc3\xa4 \xe2\x80\xae \xf0\x9f\x91\xa8 " + bad;
  CHECK(xml_text(fine) == fine);
  for (int c = 0; c < 0x20; ++c) {
    if (c == '\t' || c == '\n') continue;
    INFO(c);
    CHECK(xml_text("a" + std::string(1, static_cast<char>(c)) + "b") == "a" + bad + "b");
  }
  CHECK(xml_text("a\x7f") == "a" + bad);
  for (int c = 0x80; c < 0xa0; ++c) {
    INFO(c);
    CHECK(xml_text("\xc2" + std::string(1, static_cast<char>(c)) + "b") == bad + "b");
  }
  CHECK(xml_text("\xef\xbf\xbe|\xef\xbf\xbf|\xef\xbf\xbc") == bad + "|" + bad + "|\xef\xbf\xbc");
  // Not UTF-8: a byte alone, a character cut by the next or by the end, one that is longer than necessary, a surrogate.
  CHECK(xml_text("\xff<") == bad + "&lt;");
  CHECK(xml_text("\xc3z") == bad + "z");
  CHECK(xml_text("z\xe2\x80") == "z" + bad);
  for (const char* text : {"\xc0\xbc", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    const auto shown = xml_text(text);
    std::string only;
    while (only.size() < shown.size()) only += bad;
    CHECK(shown == only);
    CHECK_FALSE(shown.empty());
  }
}
