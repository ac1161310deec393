#include "train_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "hmrnn/error.h"

using hmrnn::Error;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kMaxSize = 65536, kMaxLayers = 64, kMaxBatch = 1 << 20;

struct Definition {
  const char* name;
  const char* value;
  const char* standard;  ///< default; nullptr: none
  bool changeable;       ///< by a resume
  const char* group;
  const char* help;
};

const std::vector<Definition>& definitions() {
  static const char *data = "Data", *model = "Model", *recipe = "Recipe", *length = "Length and records",
                    *machine = "Machine";
  static const std::vector<Definition> all = {
      {"preset", "NAME", "", false, data, "the paper's settings for ptb, text8 or enwik8; other options override them"},
      {"corpus", "NAME", nullptr, false, data, "ptb, text8, enwik8, synthetic, or a file, read as bytes"},
      {"data-dir", "DIR", "", true, data, "the corpus's folder (default: $HMRNN_DATA_DIR/CORPUS, ../shared/data/CORPUS)"},
      {"synthetic-length", "N", "2000000", false, data, "characters of the synthetic corpus"},
      {"units", "N[,N..]", "512", false, model, "units of every layer, or of each, bottom to top"},
      {"layers", "N", "3", false, model, "layers, where --units names one size"},
      {"embedding", "N", "128", false, model, "size of the input embedding"},
      {"output-embedding", "N", "512", false, model, "size of the output embedding"},
      {"core", "CORE", "hm_lstm", false, model, "hm_lstm, or lstm, the control of the same sizes"},
      {"layer-norm", "on|off", "on", false, model, "layer normalisation"},
      {"boundary", "MODE", "step", false, model, "how boundaries are decided: step, bernoulli or soft"},
      {"forget-bias", "X", "0", false, model, "initial bias of the forget gates"},
      {"boundary-bias", "X", "0", false, model, "initial bias of the boundary detectors"},
      {"batch", "N", "64", false, recipe, "parallel streams of the training text"},
      {"window", "N", "100", false, recipe, "steps of truncated back-propagation"},
      {"lr", "X", "0.002", false, recipe, "learning rate of Adam"},
      {"clip", "X", "1", false, recipe, "greatest gradient norm (0: no clipping)"},
      {"patience", "N", "1", false, recipe, "validations without improvement before lr is divided by 50, once"},
      {"slope-rate", "X", "0", false, recipe, "slope annealing: a = min(slope-max, 1 + slope-rate · completed epochs)"},
      {"slope-max", "X", "5", false, recipe, "greatest slope"},
      {"dropout", "P", "0", false, recipe, "probability of dropping a unit of the output embedding"},
      {"seed", "N", "1", false, recipe, "of weights, dropout and Bernoulli boundaries"},
      {"steps", "N", "0", true, length, "stop after N steps; 0: no such limit"},
      {"epochs", "N", "0", true, length, "stop after N epochs; 0: no such limit"},
      {"minutes", "X", "0", true, length,
       "stop after X minutes, resumes counted together; 0: no such limit. Without any of the three: stop when "
       "validation stops improving once more after lr was divided"},
      {"eval-every", "N", "0", true, length, "steps between validations; 0: after each epoch"},
      {"eval-streams", "N", "64", false, length, "streams that the validation text is cut into"},
      {"checkpoint-every", "N", "500", true, length, "steps between saves of RUN/last"},
      {"log-every", "N", "10", true, length, "steps between records in RUN/metrics.jsonl"},
      {"threads", "N", "0", true, machine, "CPU threads; 0: all cores"},
      {"device", "NAME", "auto", true, machine, "cpu, cuda, cuda:N or auto"},
      {"dtype", "NAME", "float32", false, machine,
       "of the matrix products in training: float32, bfloat16, or auto (bfloat16 where the machine is built for it)"},
  };
  return all;
}

const std::map<std::string, OptionMap>& presets() {
  static const OptionMap large = {{"units", "1024"},  {"layers", "3"},     {"embedding", "128"}, {"output-embedding", "2048"},
                                  {"batch", "128"},   {"window", "100"},   {"lr", "0.001"},      {"clip", "1"},
                                  {"boundary", "step"}, {"slope-rate", "0"}, {"layer-norm", "on"}};
  static const auto with_corpus = [](OptionMap map, const char* corpus) {
    map["corpus"] = corpus;
    return map;
  };
  static const std::map<std::string, OptionMap> all = {
      {"ptb",
       {{"corpus", "ptb"},
        {"units", "512"},
        {"layers", "3"},
        {"embedding", "128"},
        {"output-embedding", "512"},
        {"batch", "64"},
        {"window", "100"},
        {"lr", "0.002"},
        {"clip", "1"},
        {"boundary", "step"},
        {"slope-rate", "0.04"},
        {"slope-max", "5"},
        {"layer-norm", "on"}}},
      {"text8", with_corpus(large, "text8")},
      {"enwik8", with_corpus(large, "enwik8")}};
  return all;
}

bool is_named_corpus(const std::string& name) {
  return name == "ptb" || name == "text8" || name == "enwik8" || name == "synthetic";
}

/// Paths made absolute, so that a run can be taken up from another working directory.
OptionMap with_absolute_paths(OptionMap map) {
  if (const auto found = map.find("corpus"); found != map.end() && !is_named_corpus(found->second)) {
    found->second = fs::absolute(found->second).lexically_normal().string();
  }
  if (const auto found = map.find("data-dir"); found != map.end() && !found->second.empty()) {
    found->second = fs::absolute(found->second).lexically_normal().string();
  }
  return map;
}

std::string choice(const std::string& name, const std::string& text, const std::vector<std::string>& allowed) {
  if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) return text;
  throw Error(fmt::format("--{} {}: must be one of {}", name, text, fmt::join(allowed, ", ")));
}

double above_zero(const std::string& name, const std::string& text) {
  const double value = parse_number(name, text);
  if (value <= 0) throw Error(fmt::format("--{} {}: must be above 0", name, text));
  return value;
}

/// `layers_given`: the number of layers was asked for, not taken from the defaults.
TrainSettings parse(const OptionMap& map, bool layers_given) {
  const auto at = [&](const std::string& name) -> const std::string& {
    const auto found = map.find(name);
    if (found == map.end()) throw Error("--" + name + " is missing");
    return found->second;
  };
  const auto integer = [&](const std::string& name, int64_t min, int64_t max = std::numeric_limits<int64_t>::max()) {
    return parse_integer(name, at(name), min, max);
  };

  TrainSettings out;
  out.preset = at("preset");
  if (!map.contains("corpus")) throw Error("no corpus: give --corpus ptb|text8|enwik8|synthetic|FILE, or --preset");
  out.corpus.corpus = at("corpus");
  out.corpus.data_dir = at("data-dir");
  if (!out.corpus.data_dir.empty() && (!is_named_corpus(out.corpus.corpus) || out.corpus.corpus == "synthetic")) {
    throw Error("--data-dir is for ptb, text8 and enwik8; the corpus is " + out.corpus.corpus);
  }
  out.corpus.synthetic_length = integer("synthetic-length", 1, 1'000'000'000);
  out.corpus.synthetic_seed = 1;

  out.units = parse_sizes("units", at("units"), kMaxSize);
  const auto layers = integer("layers", 1, kMaxLayers);
  if (out.units.size() == 1) out.units.assign(static_cast<size_t>(layers), out.units[0]);
  if (out.units.size() > static_cast<size_t>(kMaxLayers)) {
    throw Error(fmt::format("--units {}: more than {} layers", at("units"), kMaxLayers));
  }
  if (layers_given && out.units.size() != static_cast<size_t>(layers)) {
    throw Error(fmt::format("--units {} names {} layers, --layers {}", at("units"), out.units.size(), layers));
  }
  out.embedding = integer("embedding", 1, kMaxSize);
  out.output_embedding = integer("output-embedding", 1, kMaxSize);
  out.core = hmrnn::parse_core(choice("core", at("core"), {"hm_lstm", "lstm"}));
  out.layer_norm = parse_switch("layer-norm", at("layer-norm"));
  out.boundary = hmrnn::parse_boundary_mode(choice("boundary", at("boundary"), {"step", "bernoulli", "soft"}));
  out.forget_bias = parse_number("forget-bias", at("forget-bias"), -1e6, 1e6);
  out.boundary_bias = parse_number("boundary-bias", at("boundary-bias"), -1e6, 1e6);
  out.dropout = parse_number("dropout", at("dropout"), 0, 1);
  if (out.dropout == 1) throw Error("--dropout 1: must be below 1");

  out.batch = integer("batch", 1, kMaxBatch);
  out.window = integer("window", 1, kMaxBatch);
  out.eval_streams = integer("eval-streams", 1, kMaxBatch);
  out.seed = static_cast<uint64_t>(integer("seed", 0));
  out.threads = integer("threads", 0, 4096);
  out.device = at("device");  // looked up when it is opened
  out.dtype = choice("dtype", at("dtype"), {"float32", "bfloat16", "auto"});

  auto& t = out.trainer;
  t.learning_rate = above_zero("lr", at("lr"));
  t.clip = parse_number("clip", at("clip"), 0);
  t.patience = integer("patience", 1);
  t.slope_rate = parse_number("slope-rate", at("slope-rate"), 0);
  t.slope_max = parse_number("slope-max", at("slope-max"), 1);
  t.steps = integer("steps", 0);
  t.epochs = integer("epochs", 0);
  t.minutes = parse_number("minutes", at("minutes"), 0, 1e9);
  t.eval_every = integer("eval-every", 0);
  t.checkpoint_every = integer("checkpoint-every", 1);
  t.log_every = integer("log-every", 1);
  return out;
}

}  // namespace

std::vector<OptionSpec> TrainSettings::specs() {
  std::vector<OptionSpec> out = {{"out", "RUN", "folder of the run", "Run"},
                                 {"resume", "", "take the run in RUN up where it stopped, with its options", "Run"}};
  for (const auto& d : definitions()) {
    const std::string standard = d.standard && *d.standard && std::string(d.standard) != "0"
                                     ? fmt::format(" (default: {})", d.standard)
                                     : "";
    out.push_back({d.name, d.value, d.help + standard, d.group});
  }
  return out;
}

TrainSettings TrainSettings::create(const OptionMap& given) {
  OptionMap map;
  for (const auto& d : definitions()) {
    if (d.standard) map[d.name] = d.standard;
  }
  const auto preset = given.find("preset");
  if (preset != given.end()) {
    const auto found = presets().find(preset->second);
    if (found == presets().end()) throw Error("--preset " + preset->second + ": must be one of ptb, text8, enwik8");
    for (const auto& [name, value] : found->second) map[name] = value;
  }
  for (const auto& [name, value] : with_absolute_paths(given)) map[name] = value;
  return parse(map, given.contains("layers"));
}

TrainSettings TrainSettings::resumed(const OptionMap& stored, const OptionMap& given, const std::string& where) {
  OptionMap map = stored;
  const auto absolute = with_absolute_paths(given);
  for (const auto& [name, value] : absolute) map[name] = value;
  // --units alone keeps the run's layers; a list brings its own.
  if (given.contains("units") && !given.contains("layers") && given.at("units").find(',') != std::string::npos) {
    map["layers"] = std::to_string(parse_sizes("units", given.at("units"), kMaxSize).size());
  }
  const auto settings = parse(map, given.contains("layers"));
  const auto now = settings.options();
  for (const auto& d : definitions()) {
    if (d.changeable || !given.contains(d.name)) continue;
    const auto before = stored.find(d.name);
    if (before == stored.end() || before->second != now.at(d.name)) {
      throw Error(fmt::format("--{} {} contradicts the run in {}, which has {}", d.name, given.at(d.name), where,
                              before == stored.end() || before->second.empty() ? "none" : before->second));
    }
  }
  return settings;
}

OptionMap TrainSettings::options() const {
  const auto text = [](const auto& value) { return fmt::format("{}", value); };
  return {{"preset", preset},
          {"corpus", corpus.corpus},
          {"data-dir", corpus.data_dir},
          {"synthetic-length", text(corpus.synthetic_length)},
          {"units", fmt::format("{}", fmt::join(units, ","))},
          {"layers", text(units.size())},
          {"embedding", text(embedding)},
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
          {"eval-streams", text(eval_streams)},
          {"checkpoint-every", text(trainer.checkpoint_every)},
          {"log-every", text(trainer.log_every)},
          {"threads", text(threads)},
          {"device", device},
          {"dtype", dtype}};
}

hmrnn::CharLMOptions TrainSettings::model(int64_t vocabulary_size) const {
  return hmrnn::CharLMOptions(vocabulary_size)
      .embedding_size(embedding)
      .hidden_sizes(units)
      .output_embedding_size(output_embedding)
      .core(core)
      .layer_norm(layer_norm)
      .boundary(boundary)
      .forget_bias(forget_bias)
      .boundary_bias(boundary_bias)
      .dropout(dropout);
}
