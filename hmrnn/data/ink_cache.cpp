#include "hmrnn/data/ink_cache.h"

#include <torch/types.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "hmrnn/data/ink_xml.h"
#include "hmrnn/error.h"
#include "hmrnn/io/json_text.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {
namespace fs = std::filesystem;
namespace {

constexpr int kCacheFormat = 3;  // version of the cache format and of the parser: raise it when either changes

/// Result of parsing. Errors hold paths within the source, so that the cache also serves a copy of the same files
/// elsewhere.
struct Parsed {
  ParsedInk ink;                                                 ///< without file_errors
  std::vector<std::pair<std::string, std::string>> file_errors;  ///< path of a file within the source, and its error
};

/// Stores xy [N, 2] float32 and pen_up [N] bool of all lines, concatenated, and offsets [lines + 1].
void write_cache(const fs::path& path, const Parsed& parsed) {
  const auto& ink = parsed.ink;
  int64_t total = 0;
  for (const auto& line : ink.lines) total += static_cast<int64_t>(line.points.size());
  auto xy = torch::empty({total, 2});
  auto pen = torch::empty({total}, torch::kBool);
  auto offsets = torch::empty({static_cast<int64_t>(ink.lines.size()) + 1}, torch::kInt64);
  auto* to_xy = xy.data_ptr<float>();
  auto* to_pen = pen.data_ptr<bool>();
  auto* to_offset = offsets.data_ptr<int64_t>();
  auto names = nlohmann::json::array();
  *to_offset = 0;
  for (const auto& line : ink.lines) {
    names.push_back(line.name);
    for (const auto& p : line.points) {
      *to_xy++ = p.x;
      *to_xy++ = p.y;
      *to_pen++ = p.pen_up;
    }
    to_offset[1] = to_offset[0] + static_cast<int64_t>(line.points.size());
    ++to_offset;
  }
  SafeTensors file;
  file.tensors = {{"xy", xy}, {"pen_up", pen}, {"offsets", offsets}};
  const nlohmann::json about = {{"kind", "ink"}, {"format", kCacheFormat}, {"names", names}, {"bad", parsed.file_errors}};
  file.metadata["hmrnn"] = about.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  fs::create_directories(path.parent_path());
  write_safetensors(path, file);
}

/// Returns nothing if the file is absent or was not written by write_cache.
std::optional<Parsed> read_cache(const fs::path& path) try {
  std::error_code error;
  if (!fs::exists(path, error)) return std::nullopt;
  const auto file = read_safetensors(path);
  const auto about = parse_json(file.metadata.at("hmrnn"));
  if (about.at("kind") != "ink" || about.at("format") != kCacheFormat) return std::nullopt;
  const auto names = about.at("names").get<std::vector<std::string>>();
  const auto lines = static_cast<int64_t>(names.size());
  const auto xy = file.find("xy"), pen = file.find("pen_up"), offsets = file.find("offsets");
  const auto is = [](const torch::Tensor& x, torch::ScalarType dtype, torch::IntArrayRef shape) {
    return x.defined() && x.scalar_type() == dtype && x.sizes() == shape;
  };
  if (!pen.defined() || pen.dim() != 1) return std::nullopt;
  const auto total = pen.size(0);
  if (!is(pen, torch::kBool, {total}) || !is(xy, torch::kFloat32, {total, 2}) ||
      !is(offsets, torch::kInt64, {lines + 1})) {
    return std::nullopt;
  }
  Parsed result;
  result.file_errors = about.at("bad").get<std::vector<std::pair<std::string, std::string>>>();
  auto& out = result.ink;
  out.cached = true;
  out.cache = path;
  const auto* from_xy = xy.data_ptr<float>();
  const auto* from_pen = pen.data_ptr<bool>();
  const auto* offset = offsets.data_ptr<int64_t>();
  if (offset[0] != 0 || offset[lines] != total) return std::nullopt;
  out.lines.resize(names.size());
  for (int64_t i = 0; i < lines; ++i) {
    if (offset[i + 1] <= offset[i] || offset[i + 1] > total) return std::nullopt;
    auto& line = out.lines[static_cast<size_t>(i)];
    line.name = names[static_cast<size_t>(i)];
    line.points.resize(static_cast<size_t>(offset[i + 1] - offset[i]));
    for (auto& p : line.points) {
      p = {from_xy[0], from_xy[1], *from_pen++};
      from_xy += 2;
    }
    if (!line.points.back().pen_up) return std::nullopt;
  }
  return result;
} catch (const std::exception&) {  // Error, or the JSON library's
  return std::nullopt;
}

std::string bad_file(const InkSource& source, const std::string& path, const std::string& what) {
  return (source.path / path).string() + what;
}

/// Completes the error messages with the path of the source; throws the first one with OnBadFile::Stop.
ParsedInk finish(Parsed parsed, const InkSource& source, OnBadFile on_bad_file) {
  for (const auto& [path, what] : parsed.file_errors) parsed.ink.file_errors.push_back(bad_file(source, path, what));
  if (on_bad_file == OnBadFile::Stop && !parsed.ink.file_errors.empty()) throw Error(parsed.ink.file_errors.front());
  return std::move(parsed.ink);
}

Parsed parse(const InkSource& source, OnBadFile on_bad_file) {
  Parsed result;
  auto& out = result.ink;
  const auto refuse = [&](const std::string& path, const std::string& what) {
    if (on_bad_file == OnBadFile::Stop) throw Error(bad_file(source, path, what));
    result.file_errors.emplace_back(path, what);
  };
  visit_ink_files(
      source,
      [&](const std::string& path, std::string_view bytes) {
        const auto where = bad_file(source, path, "");
        try {
          out.lines.push_back(parse_ink_xml(bytes, fs::path(path).stem().string(), where));
        } catch (const Error& error) {
          refuse(path, std::string(error.what()).substr(where.size()));  // all its errors begin with `where`
        }
      },
      refuse);
  std::sort(out.lines.begin(), out.lines.end(), [](const InkLine& a, const InkLine& b) { return a.name < b.name; });
  for (size_t i = 1; i < out.lines.size(); ++i) {
    if (out.lines[i].name == out.lines[i - 1].name) {
      throw Error("two files in " + source.path.string() + " are called " + out.lines[i].name + ".xml");
    }
  }
  return result;
}

}  // namespace

OnBadFile parse_on_bad_file(const std::string& name) {
  if (name == "stop") return OnBadFile::Stop;
  if (name == "skip") return OnBadFile::Skip;
  throw Error("'" + name + "' is not one of stop, skip");
}

fs::path default_ink_cache() {
  if (const char* cache = std::getenv("HMRNN_CACHE"); cache && *cache) return fs::path(cache) / "ink";
  if (const char* home = std::getenv("HOME"); home && *home) return fs::path(home) / ".cache/hmrnn/ink";
  return {};
}

ParsedInk parse_ink_files(const InkSource& source, OnBadFile on_bad_file, const fs::path& cache_folder) {
  if (cache_folder.empty()) return finish(parse(source, on_bad_file), source, on_bad_file);
  const auto path = cache_folder / (ink_content_key(source) + ".safetensors");
  if (auto found = read_cache(path)) return finish(std::move(*found), source, on_bad_file);
  auto out = parse(source, on_bad_file);
  out.ink.cache = path;
  try {
    write_cache(path, out);
  } catch (const std::exception& error) {  // Error, or the file system's
    out.ink.cache_error = error.what();
  }
  return finish(std::move(out), source, on_bad_file);
}

}  // namespace hmrnn
