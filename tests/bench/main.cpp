// The program hmrnn_bench: speed of the HM-LSTM relative to torch::nn's LSTM of the same size in the same process.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/utils.h>

#include <algorithm>
#include <cstdio>
#include <cxxopts.hpp>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "bench/contestants.h"
#include "bench/distributed.h"
#include "bench/machine.h"
#include "bench/neighbour.h"
#include "bench/report.h"
#include "hmrnn/error.h"
#include "hmrnn/ops/cuda_library.h"
#include "hmrnn/ops/product_dtype.h"
#include "hmrnn/run/freed_memory.h"
#include "hmrnn/run/openmp_waits.h"
#include "hmrnn/version.h"

namespace {

using bench::Size;

struct Settings {
  bool all = false;
  bool quick = false;
  bool training = false;
  bool subnormals = false;
  bool profile = false;      ///< profile instead of measuring speed
  bool distributed = false;  ///< only training in several processes
  int rounds = 5;
  int threads = 0;           ///< 0: all cores; streaming: 1 and 2
  bool scaling = false;      ///< each group with 1, 2, 4, … threads, up to `threads`
  bool neighbour = false;    ///< beside a busy process
  std::optional<Size> size;  ///< instead of the usual ones
  std::string only;
  std::string json;
  bench::Ground ground;
};

/// An integer in [min, max].
int parse_count(const std::string& name, const std::string& text, int min, int max) {
  size_t end = 0;
  long value = 0;
  try {
    value = std::stol(text, &end);
  } catch (const std::exception&) {
    end = 0;
  }
  if (end == 0 || end != text.size()) throw hmrnn::Error(fmt::format("--{} {}: not a whole number", name, text));
  if (value < min || value > max) {
    throw hmrnn::Error(fmt::format("--{} {}: must be from {} to {}", name, text, min, max));
  }
  return static_cast<int>(value);
}

/// "512,64,100"
Size parse_size(const std::string& text) {
  std::vector<int> numbers;
  std::stringstream words(text);
  for (std::string word; std::getline(words, word, ',');) numbers.push_back(parse_count("size", word, 1, 65536));
  if (numbers.size() != 3) throw hmrnn::Error(fmt::format("--size {}: is not three numbers", text));
  return {numbers[0], numbers[1], numbers[2]};
}

/// Returns nothing after printing the help. Throws hmrnn::Error for an invalid command line.
std::optional<Settings> parse(int argc, char** argv) {
  cxxopts::Options options("hmrnn_bench", "Times the HM-LSTM against torch::nn's LSTM of the same size.\n");
  const auto text = [] { return cxxopts::value<std::string>(); };
  options.add_options()("device", "cpu (default), cuda or cuda:N", text(), "NAME")(
      "all", "every size, the whole models and one thread as well (about an hour)")(
      "quick", "a small size and 2 rounds: shows that it runs")(
      "profile", "no rounds: what each case spends its time on, a GPU's kernels or the CPU's operators by name")(
      "distributed", "no rounds of these: training in two processes of one thread against one of two threads")(
      "rounds", "timed rounds (default 5)", text(), "N")(
      "threads", "CPU threads (default: all cores; streaming: 1 and 2)", text(), "N")(
      "scaling", "on a CPU, each case with 1, 2, 4, ... and all of these threads in turn, with the ratio to one")(
      "neighbour", "beside a process that keeps one core busy, which this program starts and ends")(
      "size", "this size instead: units of a layer, batch, steps of a window", text(), "N,N,N")(
      "only", "only cases whose line has TEXT, as \"core/hm_lstm 3x512 B64 T100 (0.5,0.17) float32 norm\"", text(),
      "TEXT")("bf16", "bfloat16 rows: on, off, or auto (default): on a GPU, and where the CPU has AVX512-BF16 or AMX",
              text(),
              "NAME")("persistent", "on a GPU, also windows of one kernel: on (default) or off", text(), "NAME")(
      "regularised", "layers and models also with dropout, locked dropout and weight-drop")(
      "training",
      "on a CPU, complete updates with clipping and Adam, at the rates that steering reaches (--all has it)")(
      "subnormals", "on a CPU, what subnormal numbers among Adam's moments cost a whole update (--all has it)")(
      "json", "write the rows into FILE", text(), "FILE")("h,help", "show this help");
  try {
    const auto result = options.parse(argc, argv);
    if (result.count("help")) {
      std::fputs(options.help().c_str(), stdout);
      return std::nullopt;
    }
    if (!result.unmatched().empty()) {
      throw hmrnn::Error("'" + result.unmatched()[0] + "' is one argument too many; see --help");
    }
    const auto get = [&](const char* name, const std::string& otherwise) {
      return result.count(name) ? result[name].as<std::string>() : otherwise;
    };
    Settings settings;
    settings.all = result.count("all") > 0;
    settings.quick = result.count("quick") > 0;
    settings.training = settings.all || settings.quick || result.count("training") > 0;
    settings.subnormals = settings.all || result.count("subnormals") > 0;
    settings.profile = result.count("profile") > 0;
    settings.scaling = result.count("scaling") > 0;
    settings.neighbour = result.count("neighbour") > 0;
    if (settings.scaling && settings.profile) throw hmrnn::Error("--scaling and --profile exclude each other");
    if (settings.all && settings.quick) throw hmrnn::Error("--all and --quick exclude each other");
    settings.distributed = result.count("distributed") > 0;
    if (settings.distributed && (settings.profile || result.count("threads") || result.count("only"))) {
      throw hmrnn::Error("--distributed has no --profile, --threads or --only");
    }
    settings.rounds = parse_count("rounds", get("rounds", settings.quick ? "2" : "5"), 1, 1000);
    if (result.count("threads")) settings.threads = parse_count("threads", get("threads", ""), 1, 4096);
    if (result.count("size")) settings.size = parse_size(get("size", ""));
    settings.only = get("only", "");
    settings.json = get("json", "");
    const auto bf16 = get("bf16", "auto");
    if (bf16 != "on" && bf16 != "off" && bf16 != "auto") {
      throw hmrnn::Error(fmt::format("--bf16 {}: is not one of on, off, auto", bf16));
    }
    const auto persistent = get("persistent", "on");
    if (persistent != "on" && persistent != "off") {
      throw hmrnn::Error(fmt::format("--persistent {}: is not one of on, off", persistent));
    }
    settings.ground.persistent = persistent == "on";
    settings.ground.regularised = result.count("regularised") > 0;
    settings.ground.device = hmrnn::resolve_device(get("device", "cpu"));
    if (settings.distributed && !settings.ground.device.is_cpu()) throw hmrnn::Error("--distributed is for the CPU");
    const bool in_hardware = hmrnn::resolve_product_dtype("auto", settings.ground.device).has_value();
    settings.ground.bfloat16 = bf16 == "on" || (bf16 == "auto" && in_hardware);
    if (bf16 == "auto" && !in_hardware && !settings.distributed) {
      std::puts("no bfloat16 rows: this CPU has neither AVX512-BF16 nor AMX (--bf16 on times the emulation)");
    }
    return settings;
  } catch (const hmrnn::Error&) {
    throw;
  } catch (const std::exception& error) {  // cxxopts renamed its base class between versions
    std::string line = error.what();
    for (const auto* quote : {"\u2018", "\u2019"}) {
      for (size_t at; (at = line.find(quote)) != std::string::npos;) line.replace(at, 3, "'");
    }
    throw hmrnn::Error(line + "; see --help");
  }
}

class Benchmark {
 public:
  explicit Benchmark(Settings settings) : settings_(std::move(settings)) {}

  void run() {
    if (settings_.distributed) {
      run_distributed();
    } else if (settings_.ground.device.is_cuda()) {
      run_on_gpu();
    } else {
      run_on_cpu();
    }
    if (rows_.empty() && profiles_.empty() && distributed_.empty())
      throw hmrnn::Error(fmt::format("--only {}: no case has it", settings_.only));
  }

  void write() const {
    if (settings_.json.empty()) return;
    std::ofstream out(settings_.json);
    write(out);
    out.close();
    if (!out) throw hmrnn::Error(fmt::format("--json {}: cannot be written", settings_.json));
  }

 private:
  void write(std::ostream& out) const {
    nlohmann::ordered_json json;
    json["version"] = hmrnn::version();
    json["device"] = hmrnn::describe_device(settings_.ground.device);
    json["rounds"] = settings_.rounds;
    if (settings_.neighbour) json["neighbour"] = true;
    json["gemm_ceiling"] = nlohmann::ordered_json::array();
    for (const auto& [threads, ceiling] : ceilings_) {
      for (const auto& [dtype, gflops] : ceiling) {
        json["gemm_ceiling"].push_back(
            {{"threads", threads}, {"dtype", dtype == torch::kBFloat16 ? "bfloat16" : "float32"}, {"gflops", gflops}});
      }
    }
    json["rows"] = nlohmann::ordered_json::array();
    for (const auto& row : rows_) json["rows"].push_back(to_json(row));
    if (settings_.distributed) json["distributed"] = nlohmann::ordered_json::array();
    for (const auto& row : distributed_) json["distributed"].push_back(to_json(row));
    if (settings_.profile) json["profiles"] = nlohmann::ordered_json::array();
    for (const auto& profile : profiles_) json["profiles"].push_back(to_json(profile));
    out << json.dump(2) << "\n";
  }

  void run_on_cpu() {
    const int most = at::get_num_threads();
    const std::vector<int> stream_threads =
        settings_.scaling || settings_.threads
            ? std::vector<int>{settings_.threads ? settings_.threads : most}
            : (most < 2 || settings_.quick ? std::vector<int>{1} : std::vector<int>{1, 2});
    std::vector<int> threads = {settings_.threads ? settings_.threads : most};
    if (settings_.all && !settings_.scaling && !settings_.threads && most > 1) threads.push_back(1);
    const Size small = {128, 16, 50}, middle = {512, 64, 100}, large = {1024, 128, 100};
    const auto sizes = settings_.size    ? std::vector<Size>{*settings_.size}
                       : settings_.quick ? std::vector<Size>{small}
                       : settings_.all   ? std::vector<Size>{small, middle, large}
                                         : std::vector<Size>{middle};
    const bool models = settings_.all || settings_.quick;

    for (const auto& size : sizes) {
      for (const int n : threads) measure("core, forward and backward", n, bench::core_group(size, settings_.ground));
    }
    for (const auto& size : sizes) {
      const int64_t steps = settings_.quick ? 20 : 200;
      for (const int n : stream_threads) {
        measure("streaming, batch 1, forward", n, bench::streaming_group(size.units, steps, settings_.ground.bfloat16));
        measure("streams at once, forward", n, bench::streams_group(size.units, steps));
      }
    }
    for (const auto& size : models ? sizes : std::vector<Size>{}) {
      measure("model with loss, forward and backward", threads[0], bench::model_group(size, settings_.ground));
    }
    for (const auto& size : settings_.training ? sizes : std::vector<Size>{}) {
      for (const int n : threads)
        measure("update with clipping and Adam", n, bench::training_group(size, settings_.ground));
    }
    for (const auto& size : settings_.subnormals ? sizes : std::vector<Size>{}) {
      measure("training with subnormal moments", threads[0], bench::subnormal_group(size));
    }
  }

  /// Sizes of the paper's models.
  void run_distributed() {
    const auto sizes = settings_.size    ? std::vector<Size>{*settings_.size}
                       : settings_.quick ? std::vector<Size>{{32, 8, 20}}
                       : settings_.all   ? std::vector<Size>{{512, 64, 100}, {1024, 128, 100}}
                                         : std::vector<Size>{{512, 64, 100}};
    for (const auto& size : sizes) {
      const auto rows = bench::distributed_rows(size, settings_.rounds, /*steps=*/5);
      bench::print_distributed(rows, settings_.rounds);
      distributed_.insert(distributed_.end(), rows.begin(), rows.end());
    }
  }

  /// Sizes of the paper: PTB, text8 and enwik8.
  void run_on_gpu() {
    // float32 training on a GPU uses TF32.
    at::globalContext().setAllowTF32CuBLAS(true);
    at::globalContext().setAllowTF32CuDNN(true);
    const int threads = settings_.threads ? settings_.threads : at::get_num_threads();
    const auto sizes = settings_.size    ? std::vector<Size>{*settings_.size}
                       : settings_.quick ? std::vector<Size>{{128, 16, 50}}
                                         : std::vector<Size>{{512, 64, 100}, {1024, 128, 100}};
    for (const auto& size : sizes) {
      measure("core, forward and backward", threads, bench::core_group(size, settings_.ground));
      if (settings_.all) {
        measure("model with loss, forward and backward", threads, bench::model_group(size, settings_.ground));
      }
      measure("update with clipping and Adam", threads, bench::training_group(size, settings_.ground));
    }
  }

  void measure(const std::string& what, int threads, std::vector<bench::Contestant> group) {
    const auto wanted = [&](const bench::Contestant& c) { return c.label().find(settings_.only) != std::string::npos; };
    if (std::none_of(group.begin(), group.end(), wanted)) return;
    std::erase_if(group, [&](const bench::Contestant& c) { return !c.baseline && !wanted(c); });
    const auto& size = group.front().size;
    const bool one_batch =
        std::all_of(group.begin(), group.end(), [&](const auto& c) { return c.size.batch == size.batch; });
    const auto sizes = fmt::format("{}x{}, batch {}, window {}: {}", bench::kLayers, size.units,
                                   one_batch ? std::to_string(size.batch) : "of the case", size.window, what);
    if (settings_.profile) {
      const auto profiles = bench::profile(group, threads);
      print_profiles(sizes + "; where the time goes", profiles);
      profiles_.insert(profiles_.end(), profiles.begin(), profiles.end());
      for (auto& profile : profiles_) profile.contestant.run = nullptr, profile.contestant.runner = nullptr;
      write_so_far();
      return;
    }
    std::vector<int> each;
    for (int n = 1; settings_.scaling && n < threads; n *= 2) each.push_back(n);
    each.push_back(threads);
    const auto rows = contest(group, settings_.rounds, each, ceilings_);
    for (const int n : each) {
      std::vector<bench::Row> of_n;
      for (const auto& row : rows) {
        if (row.threads == n) of_n.push_back(row);
      }
      print_table(fmt::format("{}; {} thread{}, median of {} rounds{}", sizes, n, n == 1 ? "" : "s", settings_.rounds,
                              settings_.neighbour ? ", beside a busy process" : ""),
                  of_n, ceilings_[n]);
    }
    rows_.insert(rows_.end(), rows.begin(), rows.end());
    for (auto& row : rows_) row.contestant.run = nullptr, row.contestant.runner = nullptr;  // frees the models
    write_so_far();
  }

  /// Writes the results after every group, so that an interrupted program leaves what it measured. A pipe is written
  /// only at the end.
  void write_so_far() const {
    std::error_code none;
    if (std::filesystem::is_regular_file(settings_.json, none)) write();
  }

  Settings settings_;
  bench::Ceilings ceilings_;
  std::vector<bench::Row> rows_;
  std::vector<bench::Profile> profiles_;
  std::vector<bench::DistributedRow> distributed_;
};

}  // namespace

int main(int argc, char** argv) {
  // As char_lm does; both help both sides.
  hmrnn::shorten_openmp_waits(argv);
  hmrnn::keep_freed_memory();
  try {
    const auto settings = parse(argc, argv);
    if (!settings) return 0;
    if (!settings->json.empty() && !std::ofstream(settings->json)) {  // before the measurements, not after
      throw hmrnn::Error(fmt::format("--json {}: cannot be written", settings->json));
    }
    torch::manual_seed(1);
    std::optional<bench::BusyNeighbour> neighbour;
    if (settings->neighbour) neighbour.emplace();
    Benchmark benchmark(*settings);
    benchmark.run();
    benchmark.write();
    return 0;
  } catch (const hmrnn::Error& error) {
    std::fputs(("hmrnn_bench: " + std::string(error.what()) + "\n").c_str(), stderr);
    return 2;
  } catch (const std::exception& error) {  // from LibTorch: the first line, without the stack trace
    const std::string text = error.what();
    std::fputs(("hmrnn_bench: " + text.substr(0, text.find('\n')) + "\n").c_str(), stderr);
    return 1;
  }
}
