#include "examples/program/train_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "hmrnn/error.h"

using hmrnn::Error;

namespace {

constexpr int64_t kMaxSize = 65536, kMaxLayers = 64, kMaxBatch = 1 << 20;
constexpr double kLeastClip = 1e-6;  // Adam's epsilon is 1e-8, and a norm is of many gradients

std::vector<TrainOption> common_options() {
  return {
      {"preset", "NAME", "", false, kData, "the paper's settings; other options override them"},
      {"units", "N[,N..]", kNoStandard, false, kModel, "units of every layer, or of each, bottom to top"},
      {"layers", "N", "3", false, kModel, "layers, where --units names one size"},
      {"output-embedding", "N", kNoStandard, false, kModel, "size of the output embedding"},
      {"core", "CORE", "hm_lstm", false, kModel, "hm_lstm, or lstm, the control of the same sizes"},
      {"layer-norm", "on|off", "on", false, kModel, "layer normalisation"},
      {"boundary", "MODE", "step", false, kModel, "how boundaries are decided: step, bernoulli or soft"},
      {"forget-bias", "X", "0", false, kModel, "initial bias of the forget gates"},
      {"boundary-bias", "X", "0", false, kModel, "initial bias of the boundary detectors"},
      {"batch", "N", kNoStandard, false, kRecipe, ""},
      {"window", "N", kNoStandard, false, kRecipe, "steps of truncated back-propagation"},
      {"lr", "X", kNoStandard, false, kRecipe, "learning rate of Adam"},
      {"clip", "X", "1", false, kRecipe, "greatest gradient norm (0: no clipping)"},
      {"patience", "N", "1", false, kRecipe, "validations without improvement before lr is divided by 50, once"},
      {"slope-rate", "X", "0", false, kRecipe,
       "slope annealing: a = min(slope-max, 1 + slope-rate · completed epochs)"},
      {"slope-max", "X", "5", false, kRecipe, "greatest slope"},
      {"dropout", "P", "0", false, kRecipe, "probability of dropping a unit of the output embedding"},
      {"seed", "N", "1", false, kRecipe, "of weights, dropout and Bernoulli boundaries"},
      {"steps", "N", "0", true, kLength, "stop after N steps; 0: no such limit"},
      {"epochs", "N", "0", true, kLength, "stop after N epochs; 0: no such limit"},
      {"minutes", "X", "0", true, kLength,
       "stop after X minutes, resumes counted together; 0: no such limit. Without any of the three: stop when "
       "validation stops improving once more after lr was divided"},
      {"eval-every", "N", "0", true, kLength, "steps between validations; 0: after each epoch"},
      {"checkpoint-every", "N", "500", true, kLength, "steps between saves of RUN/last"},
      {"log-every", "N", "10", true, kLength, "steps between records in RUN/metrics.jsonl"},
      {"threads", "N", "0", true, kMachine, "CPU threads; 0: all cores"},
      {"device", "NAME", "auto", true, kMachine, "cpu, cuda, cuda:N or auto"},
      {"cuda-graph", "on|off", "on", true, kMachine,
       "on CUDA, launch the windows of training as one graph each; the results are the same"},
      {"cuda-persistent", "on|off", "off", true, kMachine,
       "on CUDA with bfloat16, run each window's steps in one kernel that keeps the weights on chip, where they fit"},
      {"dtype", "NAME", "float32", false, kMachine,
       "of the matrix products in training: float32, tf32 (on CUDA), bfloat16, or auto (bfloat16 where the machine is "
       "built for it)"},
  };
}

/// Data, model, recipe, …: the help must not show a group twice.
size_t rank(const TrainOption& option) {
  const std::vector<std::string> groups = {kData, kModel, kRecipe, kLength, kMachine};
  return static_cast<size_t>(std::find(groups.begin(), groups.end(), option.group) - groups.begin());
}

}  // namespace

const std::string& option_of(const OptionMap& map, const std::string& name) {
  const auto found = map.find(name);
  if (found == map.end()) throw Error("--" + name + " is missing");
  return found->second;
}

CommonSettings CommonSettings::parse(const OptionMap& map, bool layers_given, int64_t least_window) {
  const auto integer = [&](const std::string& name, int64_t min, int64_t max = std::numeric_limits<int64_t>::max()) {
    return parse_integer(name, option_of(map, name), min, max);
  };
  const auto number = [&](const std::string& name, double min, double max = std::numeric_limits<double>::max()) {
    return parse_number(name, option_of(map, name), min, max);
  };
  CommonSettings out;
  out.preset = option_of(map, "preset");
  out.units = parse_sizes("units", option_of(map, "units"), kMaxSize);
  const auto layers = integer("layers", 1, kMaxLayers);
  if (out.units.size() == 1) out.units.assign(static_cast<size_t>(layers), out.units[0]);
  if (out.units.size() > static_cast<size_t>(kMaxLayers)) {
    throw Error(fmt::format("--units {}: more than {} layers", option_of(map, "units"), kMaxLayers));
  }
  if (layers_given && out.units.size() != static_cast<size_t>(layers)) {
    throw Error(
        fmt::format("--units {} names {} layers, --layers {}", option_of(map, "units"), out.units.size(), layers));
  }
  out.output_embedding = integer("output-embedding", 1, kMaxSize);
  out.core = hmrnn::parse_core(parse_choice("core", option_of(map, "core"), {"hm_lstm", "lstm"}));
  out.layer_norm = parse_switch("layer-norm", option_of(map, "layer-norm"));
  out.boundary =
      hmrnn::parse_boundary_mode(parse_choice("boundary", option_of(map, "boundary"), {"step", "bernoulli", "soft"}));
  out.forget_bias = number("forget-bias", -1e6, 1e6);
  out.boundary_bias = number("boundary-bias", -1e6, 1e6);
  out.dropout = number("dropout", 0, 1);
  if (out.dropout == 1) throw Error("--dropout 1: must be below 1");

  out.batch = integer("batch", 1, kMaxBatch);
  out.window = integer("window", least_window, kMaxBatch);
  out.seed = static_cast<uint64_t>(integer("seed", 0));
  out.threads = integer("threads", 0, 4096);
  out.device = option_of(map, "device");  // looked up when it is opened
  out.dtype = parse_choice("dtype", option_of(map, "dtype"), {"float32", "tf32", "bfloat16", "auto"});

  auto& t = out.trainer;
  // Below: float32 weights would stay as they are. Above: they would not stay finite.
  t.learning_rate = number("lr", 1e-12, 1e6);
  t.clip = number("clip", 0);
  if (t.clip > 0 && t.clip < kLeastClip) {
    throw Error(fmt::format("--clip {}: gradients would be cut to nothing; 0 does not cut them", option_of(map, "clip")));
  }
  t.patience = integer("patience", 1);
  t.slope_rate = number("slope-rate", 0, 1e6);
  t.slope_max = number("slope-max", 1, 1e6);
  t.steps = integer("steps", 0);
  t.epochs = integer("epochs", 0);
  t.minutes = number("minutes", 0, 1e9);
  t.eval_every = integer("eval-every", 0);
  t.checkpoint_every = integer("checkpoint-every", 1);
  t.log_every = integer("log-every", 1);
  t.cuda_graph = parse_switch("cuda-graph", option_of(map, "cuda-graph"));
  out.cuda_persistent = parse_switch("cuda-persistent", option_of(map, "cuda-persistent"));
  return out;
}

OptionMap CommonSettings::options() const {
  const auto text = [](const auto& value) { return fmt::format("{}", value); };
  return {{"preset", preset},
          {"units", fmt::format("{}", fmt::join(units, ","))},
          {"layers", text(units.size())},
          {"output-embedding", text(output_embedding)},
          {"core", hmrnn::to_string(core)},
          {"layer-norm", layer_norm ? "on" : "off"},
          {"boundary", hmrnn::to_string(boundary)},
          {"forget-bias", text(forget_bias)},
          {"boundary-bias", text(boundary_bias)},
          {"batch", text(batch)},
          {"window", text(window)},
          {"lr", text(trainer.learning_rate)},
          {"clip", text(trainer.clip)},
          {"patience", text(trainer.patience)},
          {"slope-rate", text(trainer.slope_rate)},
          {"slope-max", text(trainer.slope_max)},
          {"dropout", text(dropout)},
          {"seed", text(seed)},
          {"steps", text(trainer.steps)},
          {"epochs", text(trainer.epochs)},
          {"minutes", text(trainer.minutes)},
          {"eval-every", text(trainer.eval_every)},
          {"checkpoint-every", text(trainer.checkpoint_every)},
          {"log-every", text(trainer.log_every)},
          {"threads", text(threads)},
          {"device", device},
          {"cuda-graph", trainer.cuda_graph ? "on" : "off"},
          {"cuda-persistent", cuda_persistent ? "on" : "off"},
          {"dtype", dtype}};
}

TrainOptions::TrainOptions(std::vector<TrainOption> own, const OptionMap& standards, const OptionMap& helps,
                           std::map<std::string, OptionMap> presets)
    : presets_(std::move(presets)) {
  for (auto& option : common_options()) {
    if (const auto found = standards.find(option.name); found != standards.end()) option.standard = found->second;
    if (const auto found = helps.find(option.name); found != helps.end()) option.help = found->second;
    all_.push_back(std::move(option));
  }
  all_.insert(all_.end(), own.begin(), own.end());
  std::stable_sort(all_.begin(), all_.end(), [](const auto& a, const auto& b) { return rank(a) < rank(b); });
}

std::vector<OptionSpec> TrainOptions::specs() const {
  std::vector<OptionSpec> out = {{"out", "RUN", "folder of the run", "Run"},
                                 {"resume", "", "take the run in RUN up where it stopped, with its options", "Run"}};
  for (const auto& o : all_) {
    const bool shown = o.standard != kNoStandard && !o.standard.empty() && o.standard != "0";
    out.push_back({o.name, o.value, o.help + (shown ? fmt::format(" (default: {})", o.standard) : ""), o.group});
  }
  return out;
}

OptionMap TrainOptions::create(const OptionMap& given) const {
  OptionMap map;
  for (const auto& o : all_) {
    if (o.standard != kNoStandard) map[o.name] = o.standard;
  }
  const auto preset = given.find("preset");
  if (preset != given.end()) {
    const auto found = presets_.find(preset->second);
    if (found == presets_.end()) {
      std::vector<std::string> names;
      for (const auto& [name, options] : presets_) names.push_back(name);
      throw Error(fmt::format("--preset {}: must be one of {}", preset->second, fmt::join(names, ", ")));
    }
    for (const auto& [name, value] : found->second) map[name] = value;
  }
  for (const auto& [name, value] : given) map[name] = value;
  return map;
}

OptionMap TrainOptions::resume(const OptionMap& stored, const OptionMap& given) const {
  OptionMap map = stored;
  // A run from before there was an option has its default.
  for (const auto& o : all_) {
    if (o.standard != kNoStandard) map.try_emplace(o.name, o.standard);
  }
  for (const auto& [name, value] : given) map[name] = value;
  // --units alone keeps the run's layers; a list brings its own.
  if (given.contains("units") && !given.contains("layers") && given.at("units").find(',') != std::string::npos) {
    map["layers"] = std::to_string(parse_sizes("units", given.at("units"), kMaxSize).size());
  }
  return map;
}

void TrainOptions::require_unchanged(const OptionMap& stored, const OptionMap& given, const OptionMap& now,
                                     const std::string& where) const {
  for (const auto& o : all_) {
    if (o.changeable || !given.contains(o.name)) continue;
    const auto before = stored.find(o.name);
    if (before == stored.end() || before->second != now.at(o.name)) {
      throw Error(fmt::format("--{} {} contradicts the run in {}, which has {}", o.name, given.at(o.name), where,
                              before == stored.end() || before->second.empty() ? "none" : before->second));
    }
  }
}
