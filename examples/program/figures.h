#pragma once

#include <torch/types.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "examples/program/arguments.h"
#include "hmrnn/analysis/alignment.h"
#include "hmrnn/analysis/cost.h"

// Figures of a trained model as JSON, for text and for ink: `eval`, `align` and `report` print the same objects.

using Json = nlohmann::ordered_json;

/// `value` on a line for the standard output, with its end. Control characters that JSON allows in strings (DEL, C1,
/// and the marks that change the direction of text) are escaped. Throws nlohmann::json::exception if a string is not
/// UTF-8.
std::string json_line(const Json& value);

/// FLOPs per symbol from `counter`, which counted `count` scored symbols: those of the model, of a dense HM-LSTM and of
/// an LSTM, and the products of each layer.
Json cost_json(const hmrnn::CostCounter& counter, int64_t count);
/// "MFLOP a character: 1.21; a dense HM-LSTM of these sizes 2.8, an LSTM 1.99", with a line end.
std::string cost_text(const Json& cost, const std::string& unit);

/// Events of one kind, for each sequence.
struct NamedEvents {
  std::string name;  ///< key in the JSON: "pen_up"
  hmrnn::MarkSequences events;
};

/// The options --tolerance, --shift, --draws and --seed of `align`. `unit`: "points".
std::vector<OptionSpec> agreement_options(const std::string& unit, int64_t tolerance);
/// The values of these options. Throws hmrnn::Error for one out of range.
hmrnn::AgreementOptions parse_agreement_options(const Arguments& arguments, int64_t tolerance);

/// The agreement of each layer's boundaries with each kind of event. `layers`: the sequences of each layer.
Json agreement_json(const std::vector<hmrnn::MarkSequences>& layers, const std::vector<NamedEvents>& kinds,
                    const hmrnn::AgreementOptions& options);
/// The result of agreement_json as a table.
std::string agreement_table(const Json& layers);

/// Segment lengths of each layer: count, mean, deviation, median, and a histogram that ends with one number for all
/// longer segments.
Json segments_json(const std::vector<hmrnn::MarkSequences>& layers);

/// For each layer, marks of the steps at which z [T, M] fired.
std::vector<std::vector<uint8_t>> fired_by_layer(const torch::Tensor& z);
