#include "bench/distributed.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "hmrnn/data/text_corpus.h"
#include "hmrnn/error.h"
#include "hmrnn/run/process_group.h"
#include "hmrnn/tasks/text_task.h"
#include "hmrnn/train/trainer.h"

namespace bench {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

double seconds_between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// A folder that is removed at the end.
class Folder {
 public:
  Folder() {
    auto name = (fs::temp_directory_path() / "hmrnn_bench_XXXXXX").string();
    if (!mkdtemp(name.data())) throw hmrnn::Error("cannot make a temporary folder");
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Seconds of a sum of `numbers` float32 values while no process computes: the median of 10.
double time_sum(const hmrnn::ProcessGroup& group, int64_t numbers) {
  const auto bucket = torch::zeros({numbers});
  std::vector<double> times;
  for (int i = 0; i < 11; ++i) {
    group.barrier();
    const auto begin = Clock::now();
    group.sum(bucket);
    if (i > 0) times.push_back(seconds_between(begin, Clock::now()));
  }
  return median_of(times);
}

/// Trains as process `rank` of a layout, and writes what was measured into RANK.json of the folder.
void train(const Size& size, const Layout& layout, int64_t rank, int64_t steps, const fs::path& folder) {
  at::set_num_threads(layout.threads);
  torch::manual_seed(1);
  const auto group =
      hmrnn::ProcessGroup::from_file((folder / "store").string(), rank, layout.processes, std::chrono::minutes(10));
  hmrnn::TextCorpusOptions corpus_options;
  corpus_options.synthetic_length = 2 * size.batch * size.window * (steps + 3);
  const auto corpus = hmrnn::load_text_corpus(corpus_options);
  hmrnn::CharLM model(hmrnn::CharLMOptions(corpus.vocabulary.size())
                          .embedding_size(128)
                          .hidden_sizes(std::vector<int64_t>(kLayers, size.units))
                          .output_embedding_size(size.units));
  int64_t parameters = 0;
  for (const auto& parameter : model->parameters()) parameters += parameter.numel();
  hmrnn::TextTask task(
      model, corpus, {},
      {.batch = size.batch,
       .window = size.window,
       .eval_streams = size.batch,
       .boundaries = "clock:2,8",  // the same work in every layout, whatever an untrained detector does
       .rank = rank,
       .ranks = layout.processes});
  hmrnn::Progress silent(nullptr);
  // The trainer calls its last argument after every step; this reads the clock. The first step is not timed.
  std::vector<Clock::time_point> at;
  std::vector<double> spent;
  hmrnn::Trainer trainer(task,
                         {.eval_every = 1 << 30,
                          .checkpoint_every = 1 << 30,
                          .log_every = steps + 1,
                          .group = layout.processes > 1 ? group.get() : nullptr},
                         hmrnn::RunFolder(folder / "run"), silent, "{}", [&] {
                           if (trainer.step() >= 1) {
                             at.push_back(Clock::now());
                             spent.push_back(group->seconds());
                           }
                           return trainer.step() > steps;
                         });
  trainer.start();
  trainer.run();
  std::vector<double> times;
  for (size_t i = 1; i < at.size(); ++i) times.push_back(seconds_between(at[i - 1], at[i]));
  const auto timed = static_cast<double>(times.size());
  const auto numbers = parameters + 1 + kLayers;
  Json out = {{"step", median_of(times)},
              {"communication", (spent.back() - spent.front()) / timed},
              {"sum", layout.processes > 1 ? time_sum(*group, numbers) : 0.0},
              {"bytes", layout.processes > 1 ? numbers * 4 : 0}};
  std::ofstream(folder / (std::to_string(rank) + ".json")) << out.dump();
}

/// Forks the processes of a layout and waits for them; returns what the first one measured.
DistributedRow run_layout(const Size& size, const Layout& layout, int64_t steps) {
  const Folder folder;
  std::fflush(stdout);
  std::vector<pid_t> children;
  for (int rank = 0; rank < layout.processes; ++rank) {
    const auto child = fork();
    if (child < 0) throw hmrnn::Error("cannot start another process");
    if (child == 0) {
      try {
        train(size, layout, rank, steps, folder.path());
        _exit(0);
      } catch (const std::exception& error) {
        const std::string text = error.what();
        std::ofstream(folder.path() / "error") << text.substr(0, text.find('\n'));
        _exit(1);
      }
    }
    children.push_back(child);
  }
  bool failed = false;
  for (const auto child : children) {
    int status = 0;
    failed |= waitpid(child, &status, 0) != child || status != 0;
  }
  if (failed) {
    std::string text;
    std::getline(std::ifstream(folder.path() / "error"), text);
    throw hmrnn::Error("a process of --distributed failed: " + text);
  }
  const auto json = Json::parse(std::ifstream(folder.path() / "0.json"));
  DistributedRow row;
  row.size = size;
  row.layout = layout;
  row.step = json.at("step");
  row.communication = json.at("communication");
  row.sum = json.at("sum");
  row.bytes = json.at("bytes");
  std::ifstream metrics(folder.path() / "run" / "metrics.jsonl");
  for (std::string line; std::getline(metrics, line);) {
    const auto record = Json::parse(line);
    if (record.at("event") == "train") row.updates = record.at("updates").get<std::vector<double>>();
  }
  return row;
}

}  // namespace

std::vector<DistributedRow> distributed_rows(const Size& size, int rounds, int64_t steps) {
  const std::vector<Layout> layouts = {{.processes = 1, .threads = 2}, {.processes = 2, .threads = 1}};
  std::vector<std::vector<DistributedRow>> measured(layouts.size());
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < layouts.size(); ++i) measured[i].push_back(run_layout(size, layouts[i], steps));
  }
  std::vector<DistributedRow> rows;
  for (const auto& all : measured) {
    const auto middle = [&](double DistributedRow::*member) {
      std::vector<double> values;
      for (const auto& row : all) values.push_back(row.*member);
      return median_of(values);
    };
    auto row = all.front();
    row.step = middle(&DistributedRow::step);
    row.communication = middle(&DistributedRow::communication);
    row.sum = middle(&DistributedRow::sum);
    rows.push_back(row);
  }
  return rows;
}

void print_distributed(const std::vector<DistributedRow>& rows, int rounds) {
  const auto& size = rows.front().size;
  auto text = fmt::format("\n{}x{}, batch {}, window {}: training in several processes; median of {} rounds\n", kLayers,
                          size.units, size.batch, size.window, rounds);
  text += fmt::format("{:>9} {:>7} {:>9} {:>7} {:>9} {:>14} {:>9} {:>8}  {}\n", "processes", "threads", "chars/s",
                      "/ first", "ms a step", "communication", "sum alone", "MB", "updates");
  const auto characters = static_cast<double>(size.batch * size.window);
  for (const auto& row : rows) {
    text += fmt::format("{:>9} {:>7} {:>9.0f} {:>7.2f} {:>9.1f} {:>13.1f}% {:>8.1f}% {:>8.1f}  {:.2f}\n",
                        row.layout.processes, row.layout.threads, characters / row.step, rows.front().step / row.step,
                        1e3 * row.step, 100 * row.communication / row.step, 100 * row.sum / row.step,
                        1e-6 * static_cast<double>(row.bytes), fmt::join(row.updates, ", "));
  }
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

nlohmann::ordered_json to_json(const DistributedRow& row) {
  const auto characters = static_cast<double>(row.size.batch * row.size.window);
  return {{"case", "training/processes"},  {"device", "cpu"},
          {"units", row.size.units},       {"batch", row.size.batch},
          {"window", row.size.window},     {"processes", row.layout.processes},
          {"threads", row.layout.threads}, {"characters_per_second", characters / row.step},
          {"step_seconds", row.step},      {"communication_share", row.communication / row.step},
          {"sum_seconds", row.sum},        {"sum_bytes", row.bytes},
          {"updates", row.updates}};
}

}  // namespace bench
