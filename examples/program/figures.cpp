#include "examples/program/figures.h"

#include <fmt/format.h>

#include "hmrnn/analysis/operations.h"
#include "hmrnn/analysis/segments.h"
#include "hmrnn/run/printable.h"

namespace {

constexpr int64_t kLongest = 40;  // longer segments share one bar of the histogram

/// `rows` per scored symbol.
Json of_each(const std::vector<double>& rows, double count) {
  Json out = Json::array();
  for (const auto row : rows) out.push_back(row / count);
  return out;
}

Json scores(const hmrnn::Alignment& alignment) {
  return {{"precision", alignment.precision()}, {"recall", alignment.recall()}, {"f1", alignment.f1()}};
}

Json to_json(const hmrnn::Agreement& agreement) {
  auto json = scores(agreement.found);
  json["boundaries"] = static_cast<int64_t>(agreement.found.boundaries);
  json["events"] = static_cast<int64_t>(agreement.found.events);
  json["chance"] = scores(agreement.chance);
  json["clock"] = scores(agreement.clock);
  json["clock"]["period"] = agreement.clock_period;
  json["clock"]["phase"] = agreement.clock_phase;
  return json;
}

std::string scores_text(const Json& of) {
  return fmt::format("{:.3f} {:.3f} {:.3f}", of["precision"].get<double>(), of["recall"].get<double>(),
                     of["f1"].get<double>());
}

}  // namespace

std::string json_line(const Json& value) {
  std::string out;
  const auto text = value.dump();
  for (std::string_view rest = text; !rest.empty();) {
    const auto character = rest.substr(0, hmrnn::utf8_length(rest));
    if (hmrnn::is_control(character)) {
      const auto escaped = Json(std::string(character)).dump(-1, ' ', /*ensure_ascii=*/true);
      out += std::string_view(escaped).substr(1, escaped.size() - 2);  // without the quotes
    } else {
      out += character;
    }
    rest.remove_prefix(character.size());
  }
  return out + '\n';
}

Json cost_json(const hmrnn::CostCounter& counter, int64_t count) {
  const auto each = static_cast<double>(count);
  const auto& made = counter.made();
  return {{"flops", hmrnn::forward_flops(made, counter.sizes()) / each},
          {"dense_flops", hmrnn::forward_flops(counter.dense(), counter.sizes()) / each},
          {"lstm_flops", hmrnn::forward_flops(counter.lstm(), counter.sizes()) / each},
          {"rows",
           {{"recurrent", of_each(made.recurrent, each)},
            {"bottom_up", of_each(made.bottom_up, each)},
            {"top_down", of_each(made.top_down, each)},
            {"output", of_each(made.output, each)}}}};
}

std::string cost_text(const Json& cost, const std::string& unit) {
  const auto mega = [&](const char* key) { return cost[key].get<double>() * 1e-6; };
  return fmt::format("MFLOP a {}: {:.4g}; a dense HM-LSTM of these sizes {:.4g}, an LSTM {:.4g}\n", unit, mega("flops"),
                     mega("dense_flops"), mega("lstm_flops"));
}

std::vector<OptionSpec> agreement_options(const std::string& unit, int64_t tolerance) {
  return {
      {"tolerance", "K", fmt::format("allowed distance between boundary and event, {} (default: {})", unit, tolerance)},
      {"shift", "K", fmt::format("expected distance of a boundary after its event, {} (default: 0)", unit)},
      {"draws", "N", "random draws for the chance level (default: 10)"},
      {"seed", "N", "of the chance level, and of Bernoulli boundaries (default: 1)"}};
}

hmrnn::AgreementOptions parse_agreement_options(const Arguments& arguments, int64_t tolerance) {
  constexpr int64_t far = 1'000'000;
  hmrnn::AgreementOptions out;
  out.tolerance = parse_integer("tolerance", arguments.get("tolerance", std::to_string(tolerance)), 0, far);
  out.shift = parse_integer("shift", arguments.get("shift", "0"), -far, far);
  out.draws = parse_integer("draws", arguments.get("draws", "10"), 1, 10'000);
  out.seed = static_cast<uint64_t>(parse_integer("seed", arguments.get("seed", "1"), 0));
  return out;
}

Json agreement_json(const std::vector<hmrnn::MarkSequences>& layers, const std::vector<NamedEvents>& kinds,
                    const hmrnn::AgreementOptions& options) {
  Json out = Json::array();
  for (size_t l = 0; l < layers.size(); ++l) {
    Json entry = {{"layer", l + 1}};
    for (const auto& kind : kinds) {
      entry[kind.name] = to_json(hmrnn::measure_agreement(layers[l], kind.events, options));
    }
    out.push_back(entry);
  }
  return out;
}

std::string agreement_table(const Json& layers) {
  auto text = fmt::format("{:<6} {:<10} {:>10} {:>8}   {:<19} {:<19} {}\n", "layer", "event", "boundaries", "events",
                          "precision recall F1", "by chance", "by the best clock");
  for (const auto& layer : layers) {
    for (const auto& [name, entry] : layer.items()) {
      if (!entry.is_object()) continue;
      text += fmt::format("z{:<5} {:<10} {:>10} {:>8}   {:<19} {:<19} {}\n", layer["layer"].get<int>(), name,
                          entry["boundaries"].get<int64_t>(), entry["events"].get<int64_t>(), scores_text(entry),
                          scores_text(entry["chance"]), scores_text(entry["clock"]));
    }
  }
  return text;
}

Json segments_json(const std::vector<hmrnn::MarkSequences>& layers) {
  Json out = Json::array();
  for (const auto& layer : layers) {
    hmrnn::SegmentLengths lengths;
    for (const auto& sequence : layer) lengths.add(sequence);
    Json histogram = Json::array();
    int64_t longer = 0;
    for (const auto& [length, number] : lengths.histogram) {
      if (length > kLongest) {
        longer += number;
      } else {
        histogram.push_back({length, number});
      }
    }
    out.push_back({{"layer", out.size() + 1},
                   {"count", lengths.count()},
                   {"mean", lengths.mean()},
                   {"deviation", lengths.deviation()},
                   {"median", lengths.median()},
                   {"histogram", histogram},
                   {"longer", longer}});
  }
  return out;
}

std::vector<std::vector<uint8_t>> fired_by_layer(const torch::Tensor& z) {
  const auto fires = hmrnn::fired(z).to(torch::kUInt8).t().contiguous().cpu();
  std::vector<std::vector<uint8_t>> out;
  for (int64_t l = 0; l < fires.size(0); ++l) {
    const auto* row = fires.const_data_ptr<uint8_t>() + l * fires.size(1);
    out.emplace_back(row, row + fires.size(1));
  }
  return out;
}
