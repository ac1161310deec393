#pragma once

#include <torch/types.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "examples/program/arguments.h"
#include "hmrnn/analysis/alignment.h"
#include "hmrnn/analysis/cost.h"

// Figures of a trained model as JSON, alike for text and for ink: `eval`, `align` and `report` print the same objects.

using Json = nlohmann::ordered_json;

/// What `counter` counted, a symbol (`count` of them were scored): flops made, of a dense HM-LSTM, of an LSTM, and each
/// layer's products.
Json cost_json(const hmrnn::CostCounter& counter, int64_t count);
/// "FLOP a character: 1.21 M; dense HM-LSTM 2.80 M, LSTM 1.99 M", and a line end.
std::string cost_text(const Json& cost, const std::string& unit);

/// Events of one kind in each sequence.
struct NamedEvents {
  std::string name;  ///< a key of JSON: "pen_up"
  hmrnn::MarkSequences events;
};

/// --tolerance, --shift, --draws and --seed of `align`. `unit`: "points".
std::vector<OptionSpec> agreement_options(const std::string& unit, int64_t tolerance);
/// Their values. Throws hmrnn::Error for one out of range.
hmrnn::AgreementOptions parse_agreement_options(const Arguments& arguments, int64_t tolerance);

/// The agreement of each layer's boundaries (a list of sequences a layer) with each kind of event.
Json agreement_json(const std::vector<hmrnn::MarkSequences>& layers, const std::vector<NamedEvents>& kinds,
                    const hmrnn::AgreementOptions& options);
/// The same as a table, of what agreement_json gave.
std::string agreement_table(const Json& layers);

/// The lengths of each layer's segments: count, mean, deviation, median, histogram (the longer ones in one number).
Json segments_json(const std::vector<hmrnn::MarkSequences>& layers);

/// Which steps fire, a list of marks for each layer: z [T, M] above ½.
std::vector<std::vector<uint8_t>> fired(const torch::Tensor& z);
