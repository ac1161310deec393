#include "bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace bench {

namespace {

const char* dtype_name(torch::ScalarType dtype) { return dtype == torch::kBFloat16 ? "bfloat16" : "float32"; }

}  // namespace

void print_table(const std::string& title, const std::vector<Row>& rows, const Ceiling& ceiling) {
  std::string text = "\n" + title + "; GEMM ceiling:";
  for (const auto& [dtype, gflops] : ceiling) text += fmt::format(" {} {:.0f} GFLOP/s", dtype_name(dtype), gflops);
  const bool one_batch = std::all_of(rows.begin(), rows.end(), [&](const Row& row) {
    return row.contestant.size.batch == rows[0].contestant.size.batch;
  });
  const auto name_of = [&](const Contestant& c) {
    const auto name = one_batch ? c.name : fmt::format("{} B{}", c.name, c.size.batch);
    return c.launch.empty() ? name : name + " " + c.launch;
  };
  size_t width = 22;
  for (const auto& row : rows) width = std::max(width, name_of(row.contestant).size());
  text += fmt::format("\n{:<{}} {:<11} {:<8} {:<4} {:>9} {:>7} {:>7} {:>8} {:>8} {:>9}\n", "case", width, "rates",
                      "dtype", "norm", "chars/s", "/ fp32", "/ same", "GFLOP/s", "ceiling", "peak MB");
  for (const auto& row : rows) {
    const auto& c = row.contestant;
    text += fmt::format("{:<{}} {:<11} {:<8} {:<4} {:>9.0f} {:>7.2f} {:>7.2f} {:>8.1f} {:>7.1f}% {:>9}\n", name_of(c),
                        width, c.rates ? fmt::format("{}, {}", (*c.rates)[0], (*c.rates)[1]) : "-", dtype_name(c.dtype),
                        c.layer_norm ? (*c.layer_norm ? "on" : "off") : "-", row.characters_per_second, row.ratio_fp32,
                        row.ratio_same_dtype, row.gflops, 100 * row.ceiling_share,
                        row.peak_bytes ? fmt::format("{:.1f}", 1e-6 * static_cast<double>(*row.peak_bytes)) : "-");
  }
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

void print_profiles(const std::string& title, const std::vector<Profile>& profiles) {
  constexpr size_t kShown = 12, kWidth = 90;
  std::string text = "\n" + title + "\n";
  for (const auto& profile : profiles) {
    text += "\n" + profile.contestant.label() + "\n";
    if (!profile.times) text += "  nothing was recorded\n";
    if (!profile.times) continue;
    double all = 0;
    for (const auto& entry : *profile.times) all += entry.seconds;
    text += fmt::format("  {:>10} {:>7} {:>6}  of {:.1f} µs\n", "µs", "calls", "share", 1e6 * all);
    for (size_t i = 0; i < std::min(kShown, profile.times->size()); ++i) {
      const auto& entry = (*profile.times)[i];
      text += fmt::format("  {:>10.1f} {:>7} {:>5.1f}%  {}\n", 1e6 * entry.seconds, entry.calls,
                          all > 0 ? 100 * entry.seconds / all : 0.0, entry.name.substr(0, kWidth));
    }
  }
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

namespace {

nlohmann::ordered_json to_json(const Contestant& c) {
  nlohmann::ordered_json json;
  json["case"] = c.name;
  json["device"] = c.device.str();
  json["units"] = c.size.units;
  json["batch"] = c.size.batch;
  json["window"] = c.size.window;
  json["rates"] = c.rates ? nlohmann::ordered_json(*c.rates) : nlohmann::ordered_json();
  json["dtype"] = dtype_name(c.dtype);
  json["layer_norm"] = c.layer_norm.value_or(false);
  if (!c.launch.empty()) json["launch"] = c.launch;
  if (!c.backend.empty()) json["backend"] = c.backend;
  return json;
}

}  // namespace

nlohmann::ordered_json to_json(const Profile& profile) {
  auto json = to_json(profile.contestant);
  if (!profile.times) return json;
  json["times"] = nlohmann::ordered_json::array();
  for (const auto& entry : *profile.times) {
    json["times"].push_back({{"name", entry.name}, {"calls", entry.calls}, {"microseconds", 1e6 * entry.seconds}});
  }
  return json;
}

nlohmann::ordered_json to_json(const Row& row) {
  auto json = to_json(row.contestant);
  json["threads"] = row.threads;
  json["characters_per_second"] = row.characters_per_second;
  json["ratio_fp32"] = row.ratio_fp32;
  json["ratio_same_dtype"] = row.ratio_same_dtype;
  json["gflops"] = row.gflops;
  json["ceiling_share"] = row.ceiling_share;
  json["peak_bytes"] = row.peak_bytes ? nlohmann::ordered_json(*row.peak_bytes) : nlohmann::ordered_json();
  return json;
}

}  // namespace bench
