#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "examples/program/arguments.h"
#include "hmrnn/models/core.h"
#include "hmrnn/nn/hm_lstm_cell.h"
#include "hmrnn/ops/boundary.h"
#include "hmrnn/tasks/boundary_cost.h"
#include "hmrnn/train/trainer.h"

/// An option of `train`.
struct TrainOption {
  std::string name;
  std::string value;          ///< placeholder of the value in the help
  std::string default_value;  ///< kNoDefault: none
  bool changeable;            ///< whether a resume may change it
  std::string group;
  std::string help;
};

inline const std::string kNoDefault = "\x01";

/// Groups of options, in the order of the help.
inline const std::string kData = "Data", kModel = "Model", kRecipe = "Recipe", kLength = "Length and records",
                         kMachine = "Machine";

/// `path` without a dependence on the working directory, and without "." and ".." where this leads to the same file.
std::filesystem::path absolute_path(const std::filesystem::path& path);

/// Makes the paths in the named options absolute where they are given, so that a run can be resumed from another
/// working directory.
OptionMap with_absolute_paths(OptionMap map, const std::vector<std::string>& names);

/// Checked values of the options that all programs have.
struct CommonSettings {
  std::string preset;  ///< empty: none
  std::vector<int64_t> units;
  int64_t output_embedding = 0;
  hmrnn::Core core = hmrnn::Core::HMLSTM;
  hmrnn::BoundaryMode boundary = hmrnn::BoundaryMode::Step;
  bool layer_norm = true;
  double forget_bias = 0, boundary_bias = 0;
  double dropout = 0, recurrent_dropout = 0, locked_dropout = 0, weight_drop = 0;
  hmrnn::Initialisation init = hmrnn::Initialisation::Uniform;
  double norm_gain = 1;
  hmrnn::BoundaryCostOptions boundary_cost;
  double detector_norm_cap = 0;  ///< 0: no cap
  int64_t batch = 0, window = 0;
  uint64_t seed = 0;
  int64_t threads = 0;             ///< 0: LibTorch's choice
  bool automatic_threads = false;  ///< auto (ThreadChoice)
  std::string device, dtype;
  std::string cuda_persistent;  ///< on, off or auto
  hmrnn::TrainerOptions trainer;

  /// `layers_given`: --layers was given, not taken from the defaults. `least_window`: 0 if that means the whole
  /// sequence, else 1. Throws hmrnn::Error for invalid values.
  static CommonSettings parse(const OptionMap& map, bool layers_given, int64_t least_window);
  /// Every option with its value, in a canonical form.
  OptionMap options() const;
  /// Sets the options that all models have.
  template <typename ModelOptions>
  ModelOptions model(ModelOptions out) const {
    out.hidden_sizes(units).output_embedding_size(output_embedding).core(core).layer_norm(layer_norm);
    out.boundary(boundary).forget_bias(forget_bias).boundary_bias(boundary_bias);
    out.dropout(dropout).recurrent_dropout(recurrent_dropout).locked_dropout(locked_dropout).weight_drop(weight_drop);
    out.init(init).norm_gain(norm_gain);
    return out;
  }
};

/// The options of a program's `train`: the common ones, its own, and presets.
class TrainOptions {
 public:
  /// `defaults`: other defaults of common options, by name; `helps`: other help texts.
  TrainOptions(std::vector<TrainOption> own, const OptionMap& defaults, const OptionMap& helps,
               std::map<std::string, OptionMap> presets);

  /// All options for the help, including --out, --resume and --timeout.
  std::vector<OptionSpec> specs() const;
  /// Options of a new run: `given`, else the preset's, else the defaults. Throws hmrnn::Error for an unknown preset.
  OptionMap create(const OptionMap& given) const;
  /// Options of a resumed run: `given`, else the stored ones, else (for an option that the run does not name) the
  /// defaults.
  OptionMap resume(const OptionMap& stored, const OptionMap& given) const;
  /// Throws hmrnn::Error if one of `given` that a resume may not change differs between `now` and `stored`.
  void require_unchanged(const OptionMap& stored, const OptionMap& given, const OptionMap& now,
                         const std::string& where) const;

 private:
  std::vector<TrainOption> all_;
  std::map<std::string, OptionMap> presets_;
};

/// The value of a required option; throws hmrnn::Error if it is missing.
const std::string& option_of(const OptionMap& map, const std::string& name);
