#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/models/core.h"

using namespace hmrnn;

TEST_CASE("cores have names, there and back") {
  CHECK(parse_core("hm_lstm") == Core::HMLSTM);
  CHECK(parse_core("lstm") == Core::LSTM);
  for (const auto core : {Core::HMLSTM, Core::LSTM}) CHECK(parse_core(to_string(core)) == core);
}

TEST_CASE("another core is refused, with what there is") {
  for (const char* name : {"", "LSTM", "lstm ", "gru"}) {
    INFO(name);
    CHECK_THROWS_AS(parse_core(name), Error);
    CHECK_THROWS_WITH(parse_core(name), "core '" + std::string(name) + "' is not one of hm_lstm, lstm");
  }
}
