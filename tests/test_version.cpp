#include "hmrnn/version.h"

#include "catch.h"

TEST_CASE("the library and its headers agree on the version") {
  CHECK(std::string(hmrnn::version()) == HMRNN_VERSION);
}
