#include "hmrnn/train/trainer_state.h"

#include <nlohmann/json.hpp>

#include "hmrnn/error.h"
#include "hmrnn/io/checkpoint.h"
#include "hmrnn/io/json_text.h"

namespace hmrnn {

namespace {

constexpr int kStateFormat = 1;
const std::string kPrefix = "model.";

nlohmann::ordered_json parse_metadata(const SafeTensors& file, const std::string& where) {
  const auto found = file.metadata.find("hmrnn");
  if (found == file.metadata.end()) throw Error(where + ": no metadata under the key hmrnn, so no state of a run");
  auto json = parse_json<nlohmann::ordered_json>(found->second);
  if (!json.is_object() || text_or_empty(json, "kind") != "state") {
    throw Error(where + ": the metadata under the key hmrnn are not those of a run's state");
  }
  if (!json.contains("format") || json["format"] != kStateFormat) {
    throw Error(where + ": the state's format is not " + std::to_string(kStateFormat));
  }
  return json;
}

template <typename T>
nlohmann::ordered_json or_null(const std::optional<T>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

std::optional<double> optional_number(const nlohmann::ordered_json& value) {
  return value.is_null() ? std::nullopt : std::make_optional(value.get<double>());
}

}  // namespace

void TrainerState::store(SafeTensors& file, const nlohmann::ordered_json& run_settings) const {
  const nlohmann::ordered_json json = {{"format", kStateFormat},
                                       {"kind", "state"},
                                       {"step", step},
                                       {"evaluated_step", evaluated_step},
                                       {"schedule",
                                        {{"best", or_null(schedule.best)},
                                         {"without_improvement", schedule.without_improvement},
                                         {"drops", schedule.drops}}},
                                       {"best", {{"loss", or_null(best_loss)}, {"step", best_step}}},
                                       {"best_ema", or_null(best_ema_loss)},
                                       {"elapsed_seconds", elapsed_seconds},
                                       {"record_seconds", record_seconds},
                                       {"skipped_total", skipped_total},
                                       {"skipped_in_row", skipped_in_row},
                                       {"slope", slope},
                                       {"recovered", recovered},
                                       {"recovered_from", recovered_from},
                                       {"run", run_settings}};
  file.metadata["hmrnn"] = json.dump();
}

TrainerState TrainerState::parse(const SafeTensors& file, const std::string& where) {
  const auto json = parse_metadata(file, where);
  TrainerState out;
  try {
    out.step = json.at("step").get<int64_t>();
    out.evaluated_step = json.at("evaluated_step").get<int64_t>();
    const auto& schedule = json.at("schedule");
    out.schedule.best = optional_number(schedule.at("best"));
    out.schedule.without_improvement = schedule.at("without_improvement").get<int64_t>();
    // Older states have a flag instead of a number, since only one drop was possible.
    out.schedule.drops =
        schedule.contains("drops") ? schedule["drops"].get<int64_t>() : schedule.at("dropped").get<bool>();
    out.best_loss = optional_number(json.at("best").at("loss"));
    if (json.contains("best_ema")) out.best_ema_loss = optional_number(json["best_ema"]);
    out.best_step = json.at("best").at("step").get<int64_t>();
    out.elapsed_seconds = json.at("elapsed_seconds").get<double>();
    out.record_seconds = json.at("record_seconds").get<double>();
    out.skipped_total = json.at("skipped_total").get<double>();
    out.skipped_in_row = json.at("skipped_in_row").get<double>();
    out.slope = json.at("slope").get<double>();
    out.recovered = json.value("recovered", false);
    out.recovered_from = json.value("recovered_from", int64_t{-1});
  } catch (const nlohmann::json::exception& error) {
    throw Error(where + ": malformed state: " + error.what());
  }
  const auto malformed = [&](const std::string& what) { throw Error(where + ": malformed state: " + what); };
  if (out.step < 0) malformed("step " + std::to_string(out.step) + " is negative");
  if (!(out.slope > 0)) malformed("slope is not above 0");
  if (out.schedule.drops < 0 || out.schedule.drops > out.step) {
    malformed("the learning rate has dropped " + std::to_string(out.schedule.drops) + " times in " +
              std::to_string(out.step) + " steps");
  }
  return out;
}

nlohmann::ordered_json TrainerState::run_settings(const SafeTensors& file, const std::string& where) {
  const auto json = parse_metadata(file, where);
  if (!json.contains("run") || !json["run"].is_object()) throw Error(where + ": the run's settings are missing");
  return json["run"];
}

void require_finite_state(const SafeTensors& file, const std::string& where) {
  for (const auto& [name, tensor] : file.tensors) {
    if (!torch::isfinite(tensor).all().item<bool>()) {
      throw Error(where + ": tensor " + name + " has values that are not finite");
    }
  }
}

SafeTensors pack_parameters(const torch::nn::Module& module) {
  auto file = pack_module(module, /*buffers=*/false);
  for (auto& [name, tensor] : file.tensors) name = kPrefix + name;
  return file;
}

void load_parameters(torch::nn::Module& module, const SafeTensors& file, const std::string& where) {
  SafeTensors parameters;
  for (const auto& [name, tensor] : file.tensors) {
    if (name.starts_with(kPrefix)) parameters.tensors.emplace_back(name.substr(kPrefix.size()), tensor);
  }
  unpack_module(module, parameters, where, /*buffers=*/false);
}

}  // namespace hmrnn
