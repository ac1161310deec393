#include "examples/program/train_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "examples/program/processes.h"
#include "hmrnn/error.h"

using hmrnn::Error;

namespace {

constexpr int64_t kMaxSize = 65536, kMaxLayers = 64, kMaxBatch = 1 << 20;
constexpr double kLeastClip = 1e-6;  // Adam's epsilon is 1e-8, and the norm is over many gradients
constexpr double kMostRate = 1e6;    // more would make float32 weights infinite
constexpr double kLeastCap = 1e-6;   // less would leave detectors without weights

std::vector<TrainOption> common_options() {
  return {
      {"preset", "NAME", "", false, kData, "the paper's settings; other options override them"},
      {"units", "N[,N..]", kNoDefault, false, kModel, "units of all layers, or of each, bottom to top"},
      {"layers", "N", "3", false, kModel, "number of layers, if --units is one size"},
      {"output-embedding", "N", kNoDefault, false, kModel, "size of the output embedding"},
      {"core", "CORE", "hm_lstm", false, kModel, "hm_lstm, or lstm: a control of the same sizes"},
      {"layer-norm", "on|off", "on", false, kModel, "layer normalisation"},
      {"boundary", "MODE", "step", false, kModel, "how boundaries are decided: step, bernoulli or soft"},
      {"forget-bias", "X", "0", false, kModel, "initial bias of the forget gates"},
      {"boundary-bias", "X", "0", false, kModel, "initial bias of the boundary detectors"},
      {"init", "HOW", "uniform", false, kModel,
       "initialisation of the recurrent layers' matrices: uniform or orthogonal"},
      {"norm-gain", "X", "1", false, kModel, "initial gain of the layer norms of the gate products"},
      {"batch", "N", kNoDefault, false, kRecipe, ""},
      {"window", "N", kNoDefault, false, kRecipe, "steps of truncated back-propagation"},
      {"lr", "X", kNoDefault, false, kRecipe, "highest learning rate of Adam"},
      {"schedule", "KIND", "plateau", false, kRecipe,
       "of lr: plateau (divided when validation stops improving), cosine (down to --final-lr at the end given by "
       "--steps or --epochs; a resume with another end takes the rates of that one) or constant"},
      {"warmup", "N", "0", false, kRecipe, "updates over which lr rises"},
      {"final-lr", "X", "0", false, kRecipe, "cosine: lr at the end"},
      {"patience", "N", "1", false, kRecipe, "plateau: validations without improvement before lr is divided"},
      {"plateau-factor", "X", "50", false, kRecipe, "plateau: divisor of lr"},
      {"plateau-drops", "N", "1", false, kRecipe, "plateau: number of divisions"},
      {"clip", "X", "1", false, kRecipe, "maximum of the gradient norm (0: no clipping)"},
      {"skip-norm", "X", "0", true, kRecipe, "skip an update whose gradient norm is above X; 0: none"},
      {"beta2", "X", "0.999", false, kRecipe, "Adam's decay of squared gradients"},
      {"weight-decay", "X", "0", false, kRecipe, "decay of matrices; vectors never decay"},
      {"weight-decay-mode", "MODE", "l2", false, kRecipe, "l2 (added to the gradient) or decoupled (AdamW)"},
      {"ema", "X", "0", false, kRecipe,
       "decay of averaged weights, validated as well and saved as RUN/best_ema; 0: none"},
      {"update-cost", "X[,X..]", "", false, kRecipe,
       "cost in nats per step of a detector that always fires; one for all detectors, or one for each"},
      {"target-rate", "X[,X..]", "", false, kRecipe,
       "instead of a cost: the target firing rate of the detectors, reached by an adaptive cost, and by the bias of a "
       "detector that fires nearly always or never"},
      {"detector-norm-cap", "X", "0", false, kRecipe,
       "maximum norm of a detector's row in each matrix after an update; 0: none"},
      {"slope-rate", "X", "0", false, kRecipe,
       "slope annealing: a = min(slope-max, 1 + slope-rate · completed epochs), also of a run with --init-from"},
      {"slope-max", "X", "5", false, kRecipe, "maximum of the slope"},
      {"dropout", "P", "0", false, kRecipe, "probability of dropping a unit of the output embedding"},
      {"recurrent-dropout", "P", "0", false, kRecipe, "probability of dropping a unit of g at an UPDATE or FLUSH"},
      {"locked-dropout", "P", "0", false, kRecipe,
       "probability of dropping a unit, for a whole window of a batch row, from what other layers read"},
      {"weight-drop", "P", "0", false, kRecipe, "probability of dropping a recurrent weight for a whole window"},
      {"seed", "N", "1", false, kRecipe, "seed of weights, dropout and Bernoulli boundaries"},
      {"steps", "N", "0", true, kLength, "stop after N steps; 0: no such limit"},
      {"epochs", "N", "0", true, kLength, "stop after N epochs; 0: no such limit"},
      {"minutes", "X", "0", true, kLength,
       "stop after X minutes in all, resumes included; 0: no such limit. Without any of these three limits: stop when "
       "validation stops improving after the last division of lr"},
      {"eval-every", "N", "0", true, kLength, "steps between validations; 0: after each epoch"},
      {"checkpoint-every", "N", "500", true, kLength, "steps between saves of RUN/last"},
      {"checkpoint-minutes", "X", "0", true, kLength, "maximum of minutes between saves of RUN/last; 0: no such limit"},
      {"keep", "N", "0", true, kLength, "keep the latest N saves as RUN/kept/STEP"},
      {"log-every", "N", "10", true, kLength, "steps between records in RUN/metrics.jsonl"},
      {"max-skipped", "N", "20", true, kLength,
       "end the run after N consecutive updates that were skipped, because loss or gradient was not finite or because "
       "of --skip-norm"},
      {"recover", "on|off", "off", true, kLength,
       "the first time, return to the last checkpoint (--checkpoint-every) before them, with half the learning rate"},
      {"threads", "N", "auto", true, kMachine,
       "CPU threads; 0: OMP_NUM_THREADS, else all cores; auto: the smallest number with which some windows at the "
       "start take at most 5% more than the least time, chosen again when the speed has been below half for ten "
       "seconds or ten minutes have passed, at most one for each core; with several processes (torchrun) as 0"},
      {"device", "NAME", "auto", true, kMachine, "cpu, cuda, cuda:N or auto"},
      {"cuda-graph", "on|off", "on", true, kMachine,
       "on CUDA, launch each window of training as one graph; the results are the same"},
      {"cuda-persistent", "NAME", "auto", true, kMachine,
       "on CUDA with bfloat16, run the steps of each window in one kernel that keeps the weights on chip, if they fit: "
       "on, off, or auto, which times some windows of both kinds first and chooses the faster one"},
      {"dtype", "NAME", "float32", false, kMachine,
       "of the matrix products in training: float32, tf32 (on CUDA), bfloat16, or auto (bfloat16 if the hardware "
       "supports it)"},
  };
}

/// Position of the option's group in the help, so that each group appears once.
size_t rank(const TrainOption& option) {
  const std::vector<std::string> groups = {kData, kModel, kRecipe, kLength, kMachine};
  return static_cast<size_t>(std::find(groups.begin(), groups.end(), option.group) - groups.begin());
}

void parse_schedule(const OptionMap& map, hmrnn::TrainerOptions& t) {
  using Kind = hmrnn::ScheduleKind;
  auto& schedule = t.schedule;
  const auto kind = parse_choice("schedule", option_of(map, "schedule"), {"plateau", "cosine", "constant"});
  schedule.kind = kind == "plateau" ? Kind::Plateau : kind == "cosine" ? Kind::Cosine : Kind::Constant;
  schedule.warmup = parse_integer("warmup", option_of(map, "warmup"), 0);
  schedule.final_rate = parse_number("final-lr", option_of(map, "final-lr"), 0, kMostRate);
  schedule.patience = parse_integer("patience", option_of(map, "patience"), 1);
  schedule.divisor = parse_number("plateau-factor", option_of(map, "plateau-factor"), 1, kMostRate);
  schedule.drops = parse_integer("plateau-drops", option_of(map, "plateau-drops"), 0, 1000);
}

std::string schedule_name(hmrnn::ScheduleKind kind) {
  switch (kind) {
    case hmrnn::ScheduleKind::Plateau:
      return "plateau";
    case hmrnn::ScheduleKind::Cosine:
      return "cosine";
    case hmrnn::ScheduleKind::Constant:
      break;
  }
  return "constant";
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
  out.dropout = parse_below_one("dropout", option_of(map, "dropout"));
  out.recurrent_dropout = parse_below_one("recurrent-dropout", option_of(map, "recurrent-dropout"));
  out.locked_dropout = parse_below_one("locked-dropout", option_of(map, "locked-dropout"));
  out.weight_drop = parse_below_one("weight-drop", option_of(map, "weight-drop"));
  out.init = hmrnn::parse_initialisation(parse_choice("init", option_of(map, "init"), {"uniform", "orthogonal"}));
  out.norm_gain = number("norm-gain", -1e6, 1e6);

  out.batch = integer("batch", 1, kMaxBatch);
  out.window = integer("window", least_window, kMaxBatch);
  out.seed = static_cast<uint64_t>(integer("seed", 0));
  out.automatic_threads = option_of(map, "threads") == "auto";
  out.threads = out.automatic_threads ? 0 : integer("threads", 0, 4096);
  out.device = option_of(map, "device");  // checked when the device is opened
  out.dtype = parse_choice("dtype", option_of(map, "dtype"), {"float32", "tf32", "bfloat16", "auto"});

  auto& t = out.trainer;
  // A smaller rate would not change float32 weights.
  t.learning_rate = number("lr", 1e-12, kMostRate);
  parse_schedule(map, t);
  auto& adam = t.optimizer;
  adam.clip = number("clip", 0);
  if (adam.clip > 0 && adam.clip < kLeastClip) {
    throw Error(
        fmt::format("--clip {}: gradients would be cut to nothing; 0 does not cut them", option_of(map, "clip")));
  }
  adam.skip_norm = number("skip-norm", 0);
  adam.beta2 = parse_below_one("beta2", option_of(map, "beta2"));
  adam.weight_decay = number("weight-decay", 0, kMostRate);
  adam.weight_decay_mode =
      parse_choice("weight-decay-mode", option_of(map, "weight-decay-mode"), {"l2", "decoupled"}) == "l2"
          ? hmrnn::WeightDecayMode::L2
          : hmrnn::WeightDecayMode::Decoupled;
  t.ema = parse_below_one("ema", option_of(map, "ema"));
  out.boundary_cost.cost = parse_numbers("update-cost", option_of(map, "update-cost"), -1e6, 1e6);
  out.boundary_cost.target_rate = parse_numbers("target-rate", option_of(map, "target-rate"), 0, 1);
  if (!out.boundary_cost.cost.empty() && !out.boundary_cost.target_rate.empty()) {
    throw Error("--update-cost and --target-rate exclude each other");
  }
  out.detector_norm_cap = number("detector-norm-cap", 0, std::numeric_limits<float>::max());
  if (out.detector_norm_cap > 0 && out.detector_norm_cap < kLeastCap) {
    throw Error(fmt::format("--detector-norm-cap {}: detectors would have no weights; 0 does not cap them",
                            option_of(map, "detector-norm-cap")));
  }
  t.slope_rate = number("slope-rate", 0, 1e6);
  t.slope_max = number("slope-max", 1, 1e6);
  t.steps = integer("steps", 0);
  t.epochs = integer("epochs", 0);
  t.minutes = number("minutes", 0, 1e9);
  t.eval_every = integer("eval-every", 0);
  t.checkpoint_every = integer("checkpoint-every", 1);
  t.checkpoint_minutes = number("checkpoint-minutes", 0, 1e9);
  t.keep = integer("keep", 0, 1'000'000);
  t.log_every = integer("log-every", 1);
  t.max_skipped = integer("max-skipped", 1);
  t.recover = parse_switch("recover", option_of(map, "recover"));
  t.cuda_graph = parse_switch("cuda-graph", option_of(map, "cuda-graph"));
  out.cuda_persistent = parse_choice("cuda-persistent", option_of(map, "cuda-persistent"), {"auto", "on", "off"});
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
          {"clip", text(trainer.optimizer.clip)},
          {"skip-norm", text(trainer.optimizer.skip_norm)},
          {"schedule", schedule_name(trainer.schedule.kind)},
          {"warmup", text(trainer.schedule.warmup)},
          {"final-lr", text(trainer.schedule.final_rate)},
          {"patience", text(trainer.schedule.patience)},
          {"plateau-factor", text(trainer.schedule.divisor)},
          {"plateau-drops", text(trainer.schedule.drops)},
          {"beta2", text(trainer.optimizer.beta2)},
          {"weight-decay", text(trainer.optimizer.weight_decay)},
          {"weight-decay-mode", trainer.optimizer.weight_decay_mode == hmrnn::WeightDecayMode::L2 ? "l2" : "decoupled"},
          {"ema", text(trainer.ema)},
          {"init", hmrnn::to_string(init)},
          {"norm-gain", text(norm_gain)},
          {"update-cost", fmt::format("{}", fmt::join(boundary_cost.cost, ","))},
          {"target-rate", fmt::format("{}", fmt::join(boundary_cost.target_rate, ","))},
          {"detector-norm-cap", text(detector_norm_cap)},
          {"slope-rate", text(trainer.slope_rate)},
          {"slope-max", text(trainer.slope_max)},
          {"dropout", text(dropout)},
          {"recurrent-dropout", text(recurrent_dropout)},
          {"locked-dropout", text(locked_dropout)},
          {"weight-drop", text(weight_drop)},
          {"seed", text(seed)},
          {"steps", text(trainer.steps)},
          {"epochs", text(trainer.epochs)},
          {"minutes", text(trainer.minutes)},
          {"eval-every", text(trainer.eval_every)},
          {"checkpoint-every", text(trainer.checkpoint_every)},
          {"checkpoint-minutes", text(trainer.checkpoint_minutes)},
          {"keep", text(trainer.keep)},
          {"log-every", text(trainer.log_every)},
          {"max-skipped", text(trainer.max_skipped)},
          {"recover", trainer.recover ? "on" : "off"},
          {"threads", automatic_threads ? "auto" : text(threads)},
          {"device", device},
          {"cuda-graph", trainer.cuda_graph ? "on" : "off"},
          {"cuda-persistent", cuda_persistent},
          {"dtype", dtype}};
}

TrainOptions::TrainOptions(std::vector<TrainOption> own, const OptionMap& defaults, const OptionMap& helps,
                           std::map<std::string, OptionMap> presets)
    : presets_(std::move(presets)) {
  for (auto& option : common_options()) {
    if (const auto found = defaults.find(option.name); found != defaults.end()) option.default_value = found->second;
    if (const auto found = helps.find(option.name); found != helps.end()) option.help = found->second;
    all_.push_back(std::move(option));
  }
  all_.insert(all_.end(), own.begin(), own.end());
  std::stable_sort(all_.begin(), all_.end(), [](const auto& a, const auto& b) { return rank(a) < rank(b); });
}

std::vector<OptionSpec> TrainOptions::specs() const {
  std::vector<OptionSpec> out = {
      {"out", "RUN", "folder of the run", "Run"},
      {"resume", "", "take the run in RUN up where it stopped, with its options", "Run"},
      {"timeout", "SECONDS",
       fmt::format("of several processes (torchrun), how long one waits for the others before "
                   "it gives up (default: {})",
                   kProcessTimeout),
       "Run"}};
  for (const auto& o : all_) {
    const bool shown = o.default_value != kNoDefault && !o.default_value.empty() && o.default_value != "0";
    out.push_back({o.name, o.value, o.help + (shown ? fmt::format(" (default: {})", o.default_value) : ""), o.group});
  }
  return out;
}

OptionMap TrainOptions::create(const OptionMap& given) const {
  OptionMap map;
  for (const auto& o : all_) {
    if (o.default_value != kNoDefault) map[o.name] = o.default_value;
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

std::filesystem::path absolute_path(const std::filesystem::path& path) {
  const auto absolute = std::filesystem::absolute(path), normal = absolute.lexically_normal();
  std::error_code unknown;
  // "link/.." is the folder above the one that the link leads to, which removing both names would lose.
  const bool same =
      std::filesystem::equivalent(absolute, normal, unknown) || !std::filesystem::exists(absolute, unknown);
  return same ? normal : absolute;
}

OptionMap with_absolute_paths(OptionMap map, const std::vector<std::string>& names) {
  for (const auto& name : names) {
    if (const auto found = map.find(name); found != map.end() && !found->second.empty()) {
      found->second = absolute_path(found->second).string();
    }
  }
  return map;
}

OptionMap TrainOptions::resume(const OptionMap& stored, const OptionMap& given) const {
  OptionMap map = stored;
  map.try_emplace("cuda-persistent", "off");  // in runs from before this option there was no persistent kernel
  // Options that are newer than the run get their defaults.
  for (const auto& o : all_) {
    if (o.default_value != kNoDefault) map.try_emplace(o.name, o.default_value);
  }
  for (const auto& [name, value] : given) map[name] = value;
  // --units alone keeps the run's number of layers; a list determines it.
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
