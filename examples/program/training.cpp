#include "examples/program/training.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <functional>

#include "examples/program/cuda_persistent.h"
#include "examples/program/program.h"
#include "hmrnn/error.h"
#include "hmrnn/ops/cuda_library.h"
#include "hmrnn/ops/product_dtype.h"
#include "hmrnn/run/printable.h"
#include "hmrnn/run/progress.h"
#include "hmrnn/run/stop_signal.h"
#include "hmrnn/train/thread_choice.h"
#include "hmrnn/train/trainer.h"

OptionMap stored_options(const Json& stored, const std::string& where) {
  try {
    // Runs from before there was a second program do not store its name.
    const auto program = stored.value("program", program_name());
    if (program != program_name()) throw hmrnn::Error(where + " is a run of " + program + ", not of " + program_name());
    return stored.at("options").get<OptionMap>();
  } catch (const nlohmann::json::exception& error) {
    throw hmrnn::Error(where + ": the run's options are malformed");
  }
}

void compare_options(const OptionMap& stored, const OptionMap& given, const OptionMap& now, const std::string& where,
                     bool tell) {
  for (const auto& [name, value] : stored) {
    if (!now.contains(name)) {
      throw hmrnn::Error("the run in " + where + " has the option --" + name + ", which this version does not know");
    }
  }
  if (!tell) return;
  for (const auto& [name, value] : now) {
    if (stored.contains(name) || given.contains(name)) continue;
    fmt::print("the run does not name --{}: it is older than this option, which is now '{}'\n", name, value);
  }
}

void require_utf8(const OptionMap& options) {
  for (const auto& [name, value] : options) {
    if (!hmrnn::is_utf8(value)) {
      throw hmrnn::Error(fmt::format("--{}: '{}' is not UTF-8, in which a run stores its options", name, value));
    }
  }
}

std::vector<std::string> options_without_effect(const OptionMap& given, const OptionMap& settings) {
  // With the values at which they have no effect.
  const OptionMap of_detectors = {{"boundary", "step"},      {"boundary-bias", "0"}, {"update-cost", ""},
                                  {"target-rate", ""},       {"slope-rate", "0"},    {"slope-max", ""},
                                  {"detector-norm-cap", "0"}};
  std::vector<std::string> out;
  const auto say = [&](const std::string& name, const std::string& why) {
    const auto found = given.find(name);
    if (found != given.end()) out.push_back(fmt::format("--{} {} has no effect: {}", name, found->second, why));
  };
  const auto value = [&](const std::string& name) {
    const auto found = settings.find(name);
    return found == settings.end() ? "" : found->second;
  };
  if (value("core") == "lstm" || !value("boundaries").empty()) {
    const auto why = value("core") == "lstm" ? "--core lstm has no boundary detectors"
                                             : "--boundaries " + value("boundaries") + " replaces the detectors";
    for (const auto& [name, nothing] : of_detectors) {
      if (value(name) != nothing) say(name, why);
    }
  }
  if (!value("init-from").empty()) {
    for (const auto* name : {"init", "norm-gain", "forget-bias", "boundary-bias"}) {
      say(name, "the initial weights are those of --init-from");
    }
  }
  return out;
}

void require_same_data(const Json& stored, const Json& now, const std::string& source, const std::string& where) {
  for (const auto& [key, value] : now.items()) {
    if (key == kContents && !stored.contains(key)) continue;
    if (!stored.contains(key) || stored[key] != value) {
      throw hmrnn::Error(fmt::format("{} is not the data that the run in {} was trained on: its {} differ{}", source,
                                     where, key, key.back() == 's' ? "" : "s"));
    }
  }
}

namespace {

std::string describe_model(const CommonSettings& settings, const torch::nn::Module& model) {
  int64_t parameters = 0;
  for (const auto& parameter : model.parameters()) parameters += parameter.numel();
  return fmt::format("{} {}, {} parameters", hmrnn::to_string(settings.core), settings.options().at("units"),
                     parameters);
}

}  // namespace

std::string describe_setting(const CommonSettings& settings, const torch::nn::Module& model, torch::Device device,
                             std::optional<torch::ScalarType> dtype) {
  const auto* group = settings.trainer.group;
  const int threads = at::get_num_threads();
  return fmt::format("{}; {}{}, {}{} {}, {}\n", describe_model(settings, model),
                     group ? fmt::format("{} processes, the first one: ", group->size()) : "",
                     hmrnn::describe_device(device),
                     settings.automatic_threads && !group && device.is_cpu() && threads > 1 ? "up to " : "", threads,
                     threads == 1 ? "thread" : "threads",
                     dtype                      ? "bfloat16 products"
                     : settings.dtype == "tf32" ? "float32 with TF32 products"
                                                : "float32");
}

std::string describe_sizes(const CommonSettings& settings, const torch::nn::Module& model) {
  return fmt::format("{}, batch {}, window {}", describe_model(settings, model), settings.batch,
                     settings.window > 0 ? std::to_string(settings.window) : "of whole lines");
}

namespace {

/// Key of the number of threads that --threads auto has chosen.
constexpr const char* kThreads = "threads";

/// The number of threads that a resumed run has stored; 0: none.
int64_t stored_threads(const hmrnn::RunFolder& folder) {
  const auto stored = Json::parse(hmrnn::Trainer::read_run_settings(folder));
  const auto found = stored.find(kThreads);
  return found != stored.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

}  // namespace

int run_training(hmrnn::TrainingTask& task, const hmrnn::TrainerOptions& options, const hmrnn::RunFolder& folder,
                 const Json& run_settings, bool resume, const hmrnn::ProcessGroup* group,
                 const std::function<void()>& announce) {
  const bool leads = !group || group->leads();
  const hmrnn::StopSignal signal;
  std::optional<hmrnn::TF32Products> tf32;
  if (run_settings.at("options").at("dtype") == "tf32") tf32.emplace(true);
  hmrnn::Progress progress(leads ? stdout : nullptr);
  Json settings = {{"program", program_name()}};
  settings.update(run_settings);
  const auto& run_options = settings.at("options");
  auto wanted = run_options.at("cuda-persistent").get<std::string>();
  if (options.group && wanted == "auto") wanted = "off";  // Trainer::time_windows supports only a single process
  CudaPersistent persistent(wanted, task.device(),
                            hmrnn::resolve_product_dtype(run_options.at("dtype").get<std::string>(), task.device()));
  // Trainer::time_windows supports only a single process: several processes keep their initial number of threads.
  const bool automatic = !options.group && run_options.at("threads") == "auto";
  const auto stored = automatic && resume ? stored_threads(folder) : 0;
  if (stored > 0) settings[kThreads] = stored;
  std::function<int64_t()> steps_made;
  hmrnn::Trainer trainer(task, options, folder, progress, settings.dump(), [&] {
    if (steps_made && steps_made() > 0) persistent.check(progress);
    return hmrnn::StopSignal::received() != 0;
  });
  trainer.set_save_request(hmrnn::StopSignal::save_requested);
  hmrnn::ThreadChoice threads(automatic, task.device(), stored, [&](int chosen) {
    settings[kThreads] = chosen;
    trainer.set_run_settings(settings.dump());
  });
  trainer.set_after_step([&](double seconds, double targets) {  //
    threads.after_step(trainer, progress, seconds, targets);
  });
  if (resume) {
    trainer.resume();
  } else {
    trainer.start([&] { claim_run(group, folder); });
  }
  if (leads) announce();
  std::fflush(stdout);
  if (resume) progress.message(fmt::format("resumed at step {}", trainer.step()));
  threads.begin(trainer, progress);
  if (const auto chosen = persistent.choose(trainer, progress)) {
    // Stored like a given option, so that a resume uses the same choice.
    settings.at("options")["cuda-persistent"] = *chosen;
    trainer.set_run_settings(settings.dump());
  }
  steps_made = [&trainer, begin = trainer.step()] { return trainer.step() - begin; };
  const auto reason = trainer.run();

  if (reason == hmrnn::StopReason::Signal) {
    progress.message(fmt::format("stopped by a signal after step {}, saved; go on with --resume", trainer.step()));
    return 128 + (hmrnn::StopSignal::received() != 0 ? hmrnn::StopSignal::received() : SIGTERM);
  }
  auto text = fmt::format("done: {} steps", trainer.step());
  if (trainer.best_loss()) {
    text += fmt::format(", best validation {} at step {}", task.loss_text(*trainer.best_loss()), trainer.best_step());
  }
  if (trainer.recovered()) text += ", once back to a checkpoint at half the learning rate";
  if (trainer.skipped() > 0) text += fmt::format(", {} updates skipped", trainer.skipped());
  progress.message(text);
  return 0;
}
