#include "catch.h"
#include "hmrnn/run/progress.h"

TEST_CASE("the progress line names everything and fits the terminal") {
  hmrnn::ProgressLine line;
  line.step = 120;
  line.epoch = 0.346;
  line.loss = "1.7820 bpc";
  line.gradient_norm = 0.5234;
  line.learning_rate = 0.002;
  line.slope = 1.04;
  line.updates = {1, 0.451, 0.12};
  line.per_second = 12345;
  line.unit = "characters";
  line.seconds_left = 3723;
  const std::string whole =
      "step 120  epoch 0.35  1.7820 bpc  |g| 0.523  lr 0.002  a 1.04  updates 1.00 0.45 0.12  12.3k characters/s  left "
      "1:02:03";
  CHECK(hmrnn::format_progress(line) == whole);
  // The most important parts remain: speed and time left on every usual terminal, step and loss on the smallest.
  CHECK(hmrnn::format_progress(line, static_cast<int>(whole.size())) == whole);
  CHECK(hmrnn::format_progress(line, static_cast<int>(whole.size()) - 1) ==
        "step 120  epoch 0.35  1.7820 bpc  |g| 0.523  lr 0.002  a 1.04  12.3k characters/s  left 1:02:03");
  CHECK(hmrnn::format_progress(line, 79) ==
        "step 120  epoch 0.35  1.7820 bpc  |g| 0.523  12.3k characters/s  left 1:02:03");
  CHECK(hmrnn::format_progress(line, 55) == "step 120  1.7820 bpc  12.3k characters/s  left 1:02:03");
  CHECK(hmrnn::format_progress(line, 25) == "step 120  1.7820 bpc");
  CHECK(hmrnn::format_progress(line, 10) == "step 120  ");
  line.seconds_left = -1;
  CHECK(hmrnn::format_progress(line).find("left") == std::string::npos);
}

TEST_CASE("without a terminal only recorded states are printed, a line each") {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  {
    hmrnn::Progress progress(file);
    CHECK_FALSE(progress.wants_refresh());
    hmrnn::ProgressLine line;
    line.step = 1;
    progress.show(line, false);
    line.step = 2;
    progress.show(line, true);
    progress.message("hello");
  }
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  CHECK(text.rfind("step 2 ", 0) == 0);
  CHECK(text.find("\nhello\n") != std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
  CHECK(text.find("step 1 ") == std::string::npos);
}
