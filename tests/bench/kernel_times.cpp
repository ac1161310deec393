#include "bench/kernel_times.h"

#include <torch/csrc/autograd/profiler_kineto.h>
#include <torch/cuda.h>

#include <algorithm>
#include <cstdlib>
#include <map>

namespace bench {

namespace {

namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;

/// Own time of each CPU operator: its time without that of the operators it calls, per thread.
std::map<std::string, TimeOf> own_times(const std::vector<profiler::KinetoEvent>& events) {
  struct Span {
    uint64_t begin, end;
    std::string name;
    uint64_t within = 0;
  };
  std::map<uint64_t, std::vector<Span>> threads;
  for (const auto& event : events) {
    if (event.deviceType() != c10::DeviceType::CPU || event.isAsync() || event.name().find("::") == std::string::npos) {
      continue;  // marks of the profiler
    }
    threads[event.startThreadId()].push_back({event.startNs(), event.endNs(), event.name()});
  }
  std::map<std::string, TimeOf> out;
  for (auto& [thread, spans] : threads) {
    std::sort(spans.begin(), spans.end(),
              [](const Span& a, const Span& b) { return a.begin != b.begin ? a.begin < b.begin : a.end > b.end; });
    std::vector<size_t> open;
    for (size_t i = 0; i < spans.size(); ++i) {
      while (!open.empty() && spans[open.back()].end <= spans[i].begin) open.pop_back();
      if (!open.empty()) spans[open.back()].within += spans[i].end - spans[i].begin;
      open.push_back(i);
    }
    for (const auto& span : spans) {
      auto& entry = out[span.name];
      ++entry.calls;
      const auto whole = span.end - span.begin;
      entry.seconds += 1e-9 * static_cast<double>(whole - std::min(whole, span.within));
    }
  }
  return out;
}

std::map<std::string, TimeOf> kernel_times(const std::vector<profiler::KinetoEvent>& events) {
  std::map<std::string, TimeOf> out;
  for (const auto& event : events) {
    if (event.deviceType() != c10::DeviceType::CUDA) continue;
    auto& entry = out[event.name()];
    ++entry.calls;
    entry.seconds += 1e-9 * static_cast<double>(event.durationNs());
  }
  return out;
}

}  // namespace

std::optional<std::vector<TimeOf>> times_by_name(const std::function<void()>& work, int repeats, torch::Device device) {
  // On a GPU only its own activities: recording the host's would slow the host down.
  const std::set<ActivityType> activities = {device.is_cuda() ? ActivityType::CUDA : ActivityType::CPU};
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  const auto wait = [&] {
    if (device.is_cuda()) torch::cuda::synchronize(device.has_index() ? device.index() : 0);
  };
  // A CUDA build of LibTorch warns if there is no GPU.
  if (!device.is_cuda()) setenv("KINETO_LOG_LEVEL", "5", /*overwrite=*/0);
  wait();
  profiler::prepareProfiler(config, activities);
  profiler::enableProfiler(config, activities);
  for (int i = 0; i < repeats; ++i) work();
  wait();
  const auto result = profiler::disableProfiler();
  auto by_name = device.is_cuda() ? kernel_times(result->events()) : own_times(result->events());
  if (by_name.empty()) return std::nullopt;
  std::vector<TimeOf> out;
  for (auto& [name, entry] : by_name) {
    entry.name = name;
    entry.calls = (entry.calls + repeats - 1) / repeats;
    entry.seconds /= repeats;
    out.push_back(entry);
  }
  std::sort(out.begin(), out.end(), [](const TimeOf& a, const TimeOf& b) { return a.seconds > b.seconds; });
  return out;
}

}  // namespace bench
