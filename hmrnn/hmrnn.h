/// The one header a user includes.
#pragma once

#include "hmrnn/error.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/handwriting_model.h"
#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/nn/hm_lstm_cell.h"
#include "hmrnn/nn/mixture_density.h"
#include "hmrnn/nn/output_module.h"
#include "hmrnn/nn/stacked_lstm.h"
#include "hmrnn/ops/boundary.h"
#include "hmrnn/ops/gated_output.h"
#include "hmrnn/ops/hm_lstm.h"
#include "hmrnn/version.h"
