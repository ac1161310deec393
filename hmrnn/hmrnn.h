/// The one header a user includes.
#pragma once

#include "hmrnn/error.h"
#include "hmrnn/io/checkpoint.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/char_lm_stream.h"
#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/nn/hm_lstm_cell.h"
#include "hmrnn/nn/output_module.h"
#include "hmrnn/nn/stacked_lstm.h"
#include "hmrnn/ops/boundary.h"
#include "hmrnn/ops/cuda_library.h"
#include "hmrnn/ops/gated_output.h"
#include "hmrnn/ops/hm_lstm.h"
#include "hmrnn/train/char_lm_checkpoint.h"
#include "hmrnn/version.h"
