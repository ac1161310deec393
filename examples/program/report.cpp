#include "examples/program/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>

#include "hmrnn/analysis/operations.h"
#include "hmrnn/error.h"
#include "hmrnn/io/json_text.h"
#include "hmrnn/io/whole_file.h"
#include "hmrnn/run/run_folder.h"

extern const std::string_view embedded_report_html, embedded_report_css, embedded_report_js, embedded_charts_js,
    embedded_text_view_js, embedded_ink_view_js;

namespace {

constexpr size_t kMostPoints = 1000;

/// A list of values per record; null where a record lacks one.
class Curves {
 public:
  void add(const Json& record) {
    steps_.push_back(record.value("step", int64_t{0}));
    for (const char* name : {"loss", "grad_norm", "lr", "slope"}) values_[name].push_back(number(record, name));
    double speed = NAN;  // "characters_per_second", "points_per_second"
    for (const auto& [name, value] : record.items()) {
      if (name.ends_with("_per_second") && value.is_number()) speed = value.get<double>();
    }
    values_["per_second"].push_back(speed);
    const auto found = record.find("updates");
    const auto updates = found != record.end() && found->is_array() ? *found : Json::array();
    if (updates_.size() < updates.size()) updates_.resize(updates.size(), std::vector<double>(steps_.size() - 1, NAN));
    for (size_t l = 0; l < updates_.size(); ++l) {
      updates_[l].push_back(l < updates.size() && updates[l].is_number() ? updates[l].get<double>() : NAN);
    }
  }

  Json json() const {
    Json out = {{"step", Json::array()}};
    const size_t group = (steps_.size() + kMostPoints - 1) / kMostPoints;
    for (size_t i = 0; i < steps_.size(); i += group)
      out["step"].push_back(steps_[std::min(i + group, steps_.size()) - 1]);
    for (const auto& [name, values] : values_) out[name] = means(values, group);
    out["updates"] = Json::array();
    for (const auto& layer : updates_) out["updates"].push_back(means(layer, group));
    return out;
  }
  size_t size() const { return steps_.size(); }

 private:
  static double number(const Json& record, const std::string& name) {
    return record.contains(name) && record[name].is_number() ? record[name].get<double>() : NAN;
  }
  /// Means over groups of neighbours, ignoring NaN, with five digits.
  static Json means(const std::vector<double>& values, size_t group) {
    Json out = Json::array();
    for (size_t i = 0; i < values.size(); i += group) {
      double sum = 0, count = 0;
      for (size_t j = i; j < std::min(i + group, values.size()); ++j) {
        if (std::isfinite(values[j])) sum += values[j], ++count;
      }
      out.push_back(count > 0 ? Json(std::strtod(fmt::format("{:.5g}", sum / count).c_str(), nullptr)) : Json(nullptr));
    }
    return out;
  }

  std::vector<int64_t> steps_;
  std::map<std::string, std::vector<double>> values_;
  std::vector<std::vector<double>> updates_;
};

/// JSON for use inside <script>: nothing in it can end the element or begin a comment.
std::string in_script(const Json& data) {
  const auto text = data.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
  std::string out;
  for (const char c : text) out += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return out;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&quot;" : std::string(1, c);
  }
  return out;
}

}  // namespace

Json training_json(const std::filesystem::path& run) {
  std::error_code error;
  auto path = hmrnn::RunFolder(run).metrics();
  if (!std::filesystem::exists(path, error)) path = run.parent_path() / "metrics.jsonl";  // RUN is RUN/best
  if (!std::filesystem::exists(path, error)) return nullptr;
  std::istringstream file(hmrnn::read_whole_file(path));
  Curves train, eval;
  Json resumes = Json::array();
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    const bool torn = file.eof();  // the run is still writing, or was killed
    const auto record = hmrnn::parse_json<Json>(line);
    if (!record.is_object() || (record.contains("step") && !record["step"].is_number())) {
      if (torn) break;
      throw hmrnn::Error(fmt::format("{}:{}: not a record of training", path.string(), number));
    }
    const auto event = hmrnn::text_or_empty(record, "event");
    if (event == "train") train.add(record);
    if (event == "eval") eval.add(record);
    if (event == "resume" || event == "recover") resumes.push_back(record.value("step", int64_t{0}));
  }
  return {{"train", train.json()}, {"eval", eval.json()}, {"resumes", resumes}, {"records", train.size()}};
}

std::string as_hex(const torch::Tensor& values, double most) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto levels = (values.to(torch::kFloat64) * (255 / (most > 0 ? most : 1)))
                          .nan_to_num(0)
                          .clamp(0, 255)
                          .round()
                          .to(torch::kUInt8)
                          .contiguous();
  std::string out;
  for (int64_t i = 0; i < levels.numel(); ++i) {
    const auto level = levels.const_data_ptr<uint8_t>()[i];
    out += {kDigits[level / 16], kDigits[level % 16]};
  }
  return out;
}

Json columns_as_hex(const torch::Tensor& values, Json& most) {
  Json out = Json::array();
  most = Json::array();
  for (int64_t l = 0; l < values.size(1); ++l) {
    const auto column = values.select(1, l);
    most.push_back(column.numel() > 0 ? column.max().item<double>() : 0.0);
    out.push_back(as_hex(column, most.back().get<double>()));
  }
  return out;
}

Json certainty_json(const torch::Tensor& probability, const torch::Tensor& z) {
  Json out = Json::array();
  const auto mean = [](const torch::Tensor& values) {
    return values.numel() > 0 ? Json(values.to(torch::kFloat64).mean().item<double>()) : Json(nullptr);
  };
  for (int64_t l = 0; l < z.size(1); ++l) {
    const auto p = probability.select(1, l), fires = hmrnn::fired(z.select(1, l));
    out.push_back({{"layer", l + 1},
                   {"firing", mean(p.masked_select(fires))},
                   {"silent", mean(p.masked_select(fires.logical_not()))},
                   {"sure", mean(p.le(0.25).logical_or(p.ge(0.75)))}});
  }
  return out;
}

std::string report_page(const Json& data) {
  const std::map<std::string, std::string> parts = {
      {"TITLE", escaped(data["title"].get<std::string>())},
      {"STYLE", std::string(embedded_report_css)},
      {"DATA", in_script(data)},
      {"SCRIPT", std::string(embedded_charts_js) + std::string(embedded_text_view_js) +
                     std::string(embedded_ink_view_js) + std::string(embedded_report_js)}};
  std::string out;
  const std::string_view page = embedded_report_html;
  for (size_t at = 0; at < page.size();) {
    const auto mark = page.find("@@", at);
    out += page.substr(at, mark - at);
    if (mark == std::string_view::npos) break;
    const auto end = page.find("@@", mark + 2);
    out += parts.at(std::string(page.substr(mark + 2, end - mark - 2)));
    at = end + 2;
  }
  return out;
}

std::vector<std::string> run_names(const std::vector<std::string>& runs) {
  std::vector<std::vector<std::string>> parts;
  for (const auto& run : runs) {
    parts.emplace_back();
    for (const auto& part : std::filesystem::path(run).lexically_normal()) {
      if (!part.empty()) parts.back().push_back(part.string());
    }
  }
  for (size_t length = 1;; ++length) {
    std::vector<std::string> names;
    bool whole = true;
    for (const auto& path : parts) {
      const auto take = std::min(length, path.size());
      whole = whole && take == path.size();
      std::string name;
      for (auto part = path.end() - static_cast<std::ptrdiff_t>(take); part != path.end(); ++part) {
        name += (name.empty() ? "" : "/") + *part;
      }
      names.push_back(name);
    }
    if (whole || std::set<std::string>(names.begin(), names.end()).size() == names.size()) return names;
  }
}
