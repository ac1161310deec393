// Fuzzes parse_ink_xml: any bytes give a valid InkLine, or hmrnn::Error with one line. Build: tests/fuzz/README.md.
#include <cmath>
#include <string_view>

#include "hmrnn/data/ink_xml.h"
#include "hmrnn/error.h"
#include "tests/fuzz/replay.h"

namespace {

void expect_sound(const hmrnn::InkLine& line) {
  if (line.points.empty()) fail("no points", line.name);
  if (!line.points.back().pen_up) fail("the last stroke does not end", line.name);
  for (const auto& p : line.points) {
    if (!(std::abs(p.x) <= hmrnn::kInkCoordinateLimit && std::abs(p.y) <= hmrnn::kInkCoordinateLimit)) {
      fail("a coordinate out of bounds", std::to_string(p.x) + " " + std::to_string(p.y));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const auto line = hmrnn::parse_ink_xml(bytes, "a01-000u-01", "fuzzed.xml");
    expect_sound(line);
    // A written line can be read again. The first writing rounds to hundredths, so the second changes nothing.
    const auto text = hmrnn::format_ink_xml(line);
    const auto again = hmrnn::parse_ink_xml(text, "a01-000u-01", "written.xml");
    expect_sound(again);
    if (again.points.size() != line.points.size()) fail("points were lost", text);
    if (hmrnn::format_ink_xml(again) != text) fail("written twice, differently", text);
  } catch (const hmrnn::Error& error) {
    expect_one_line(error.what(), "fuzzed.xml");
  }
  return 0;
}
