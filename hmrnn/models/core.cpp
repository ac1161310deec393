#include "hmrnn/models/core.h"

#include "hmrnn/error.h"

namespace hmrnn {

Core parse_core(const std::string& name) {
  if (name == "hm_lstm") return Core::HMLSTM;
  if (name == "lstm") return Core::LSTM;
  throw Error("core '" + name + "' is not one of hm_lstm, lstm");
}

std::string to_string(Core core) { return core == Core::HMLSTM ? "hm_lstm" : "lstm"; }

}  // namespace hmrnn
