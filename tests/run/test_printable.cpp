#include <cstdio>

#include "catch.h"
#include "hmrnn/run/printable.h"
#include "hmrnn/run/progress.h"

using hmrnn::printable;

TEST_CASE("untrusted text on a terminal: one line, control characters and invalid UTF-8 as their values") {
  CHECK(printable("plain, é, 語") == "plain, é, 語");
  CHECK(printable("a\nb\tc\rd") == "a b c d");
  CHECK(printable("\x1b[31m\x7f") == R"(\x1b[31m\x7f)");
  CHECK(printable("\xc2\x9b|\xe2\x80\xae|\xe2\x81\xa6") ==
        R"(\xc2\x9b|\xe2\x80\xae|\xe2\x81\xa6)");  // C1, two marks of direction
  CHECK(printable("\xff|\xc3|\xed\xa0\x80|\xc0\x80") == R"(\xff|\xc3|\xed\xa0\x80|\xc0\x80)");
  CHECK(hmrnn::printable_lines("a\n\tb\r\x1b\xe2\x80") == "a\n\tb \\x1b\\xe2\\x80");
}

TEST_CASE("UTF-8 is told from other bytes") {
  for (const char* text : {"", "a", "é語", "\xf4\x8f\xbf\xbf"}) CHECK(hmrnn::is_utf8(text));
  for (const char* text : {"\xff", "a\x80", "\xc3", "\xe2\x80z", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\xaf"}) {
    CHECK_FALSE(hmrnn::is_utf8(text));
  }
}

TEST_CASE("a message beside the progress line cannot move the cursor, whatever file it names") {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  hmrnn::Progress(file).message("a/\x1b[2J\xc2\x9b\n\xff/state: cannot write");
  std::rewind(file);
  char text[200];
  REQUIRE(std::fgets(text, sizeof text, file) != nullptr);
  CHECK(std::string(text) == "a/\\x1b[2J\\xc2\\x9b \\xff/state: cannot write\n");
  CHECK(std::fgets(text, sizeof text, file) == nullptr);
  std::fclose(file);
}
