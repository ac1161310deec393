#pragma once

#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// The recurrent part of a model: the HM-LSTM, or a plain LSTM of the same sizes, the control of experiments.
enum class Core { HMLSTM, LSTM };

/// "hm_lstm" or "lstm"; throws hmrnn::Error for anything else.
HMRNN_API Core parse_core(const std::string& name);
HMRNN_API std::string to_string(Core core);

}  // namespace hmrnn
