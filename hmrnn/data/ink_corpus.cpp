#include "hmrnn/data/ink_corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#define XXH_INLINE_ALL
#include <xxhash.h>
#undef XXH_INLINE_ALL

#include "hmrnn/data/data_dir.h"
#include "hmrnn/data/ink_splits.h"
#include "hmrnn/data/ink_xml.h"
#include "hmrnn/data/synthetic_ink.h"
#include "hmrnn/error.h"

namespace hmrnn {
namespace fs = std::filesystem;
namespace {

ParsedInk read_iam(const InkCorpusOptions& options, InkSource& source) {
  const auto dir = options.data_dir.empty() ? default_data_dir("iam_ondb") : options.data_dir;
  if (dir.empty()) {
    throw Error("no data folder: give --data-dir, or set HMRNN_DATA_DIR to a folder that holds iam_ondb");
  }
  source = find_ink_source(dir);
  return parse_ink_files(source, options.on_bad_file, options.cache);
}

std::string cache_note(const ParsedInk& ink) {
  if (ink.cache.empty()) return {};
  if (!ink.cache_error.empty()) return "not written: " + ink.cache_error;
  return (ink.cached ? "read from " : "written to ") + ink.cache.string();
}

/// The greater one of width and height.
float extent(const InkLine& line) {
  const auto range = [&](auto coordinate) {
    const auto [least, greatest] =
        std::minmax_element(line.points.begin(), line.points.end(),
                            [&](const auto& a, const auto& b) { return coordinate(a) < coordinate(b); });
    return coordinate(*greatest) - coordinate(*least);
  };
  return std::max(range([](const InkPoint& p) { return p.x; }), range([](const InkPoint& p) { return p.y; }));
}

/// Finds stray points in lines that are too short for parse_ink_xml to find them: the longer lines of the corpus say
/// how far a line can extend. Removes these lines and adds them to file_errors, or throws hmrnn::Error for the first
/// one.
void refuse_short_lines_with_strays(InkCorpus& corpus, OnBadFile on_bad_file) {
  const auto is_short = [](const InkLine& line) { return line.points.size() < kFewestPointsOfStrays; };
  float widest = 0;
  for (const auto& line : corpus.lines) {
    if (!is_short(line)) widest = std::max(widest, extent(line));
  }
  if (widest == 0) return;
  std::erase_if(corpus.lines, [&](const InkLine& line) {
    const float own = is_short(line) ? extent(line) : 0;
    if (own <= kStrayReach * widest) return false;
    corpus.file_errors.push_back(fmt::format(
        "{}: line {}: its {} points extend over {} units, those of every line with more points over at most {}",
        corpus.source, line.name, line.points.size(), own, widest));
    if (on_bad_file == OnBadFile::Stop) throw Error(corpus.file_errors.back());
    return true;
  });
}

}  // namespace

InkSplit parse_ink_split(const std::string& name) {
  for (const auto split : {InkSplit::Paper, InkSplit::Lines, InkSplit::Graves}) {
    if (to_string(split) == name) return split;
  }
  throw Error("split '" + name + "' is not one of paper, lines, graves");
}

std::string to_string(InkSplit split) {
  switch (split) {
    case InkSplit::Paper:
      return "paper";
    case InkSplit::Lines:
      return "lines";
    case InkSplit::Graves:
      break;
  }
  return "graves";
}

InkCorpusOptions options_to_load(const InkReference& reference) {
  InkCorpusOptions out;
  out.corpus = reference.corpus;
  std::error_code error;
  if (!reference.data_dir.empty() && fs::exists(reference.data_dir, error)) out.data_dir = reference.data_dir;
  out.split = parse_ink_split(reference.split);
  out.split_seed = reference.split_seed;
  out.min_points = reference.min_points;
  out.on_bad_file = parse_on_bad_file(reference.on_bad_file);
  out.synthetic_lines = reference.synthetic_lines;
  out.synthetic_seed = reference.synthetic_seed;
  return out;
}

std::vector<size_t> InkCorpus::split(const std::string& split_name) const {
  if (split_name == "all") {
    std::vector<size_t> out(lines.size());
    std::iota(out.begin(), out.end(), size_t{0});
    return out;
  }
  const auto found = parts.find(split_name);
  if (found != parts.end()) return found->second;
  throw Error("unknown split '" + split_name + "': it is train, valid, " +
              (parts.contains("valid2") ? "valid2, " : "") + "test or all");
}

std::string InkCorpus::content_hash() const {
  XXH64_hash_t hash = 0;
  std::string bytes;
  const auto add = [&](const auto& value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); };
  const auto mix = [&] {
    hash = XXH3_64bits_withSeed(bytes.data(), bytes.size(), hash);
    bytes.clear();
  };
  for (const auto& line : lines) {
    for (const auto& point : line.points) {
      add(point.x);
      add(point.y);
      add(point.pen_up);
    }
    mix();
  }
  for (const auto& [part, indices] : parts) {
    bytes = part;
    for (const auto index : indices) add(static_cast<uint64_t>(index));
    mix();
  }
  return fmt::format("{:016x}", hash);
}

double InkCorpus::mean_length() const {
  double points = 0;
  for (const auto& line : lines) points += static_cast<double>(line.points.size());
  return lines.empty() ? 0 : points / static_cast<double>(lines.size());
}

std::string InkCorpus::report() const {
  auto out = fmt::format("{}: {} files, {} kept, mean length {:.1f} points ({} too short, {} bad)\n", source, files,
                         lines.size(), mean_length(), dropped, file_errors.size());
  for (const char* part : {"train", "valid", "valid2", "test"}) {
    const auto found = parts.find(part);
    if (found != parts.end())
      out += fmt::format("{}{} {}", part == std::string("train") ? "" : ", ", found->second.size(), part);
  }
  out += fmt::format("; forms in more than one part: {}", divided_forms);
  if (unlisted > 0) out += fmt::format("; in no list: {}", unlisted);
  out += '\n';
  if (!cache_note.empty()) out += "cache: " + cache_note + '\n';
  return out;
}

InkCorpus load_ink_corpus(const InkCorpusOptions& options) {
  InkCorpus out;
  out.name = options.corpus;
  std::vector<InkLine> lines;
  InkSource source;
  if (options.corpus == "synthetic") {
    out.source = fmt::format("synthetic ink (seed {})", options.synthetic_seed);
    if (options.synthetic_lines < 1 || options.synthetic_lines > kMostSyntheticLines) {
      throw Error(
          fmt::format("synthetic ink must have 1 to {} lines, not {}", kMostSyntheticLines, options.synthetic_lines));
    }
    lines = make_synthetic_ink(options.synthetic_lines, options.synthetic_seed);
    if (options.split == InkSplit::Graves)
      throw Error("the split graves is of IAM-OnDB's forms; synthetic ink has none of them");
  } else if (options.corpus == "iam") {
    auto ink = read_iam(options, source);
    out.source = source.path.string();
    out.file_errors = std::move(ink.file_errors);
    out.cache_note = cache_note(ink);
    lines = std::move(ink.lines);
  } else {
    throw Error("corpus '" + options.corpus + "' is neither synthetic nor iam");
  }
  out.files = static_cast<int64_t>(lines.size() + out.file_errors.size());
  for (auto& line : lines) {
    if (static_cast<int64_t>(line.points.size()) < std::max<int64_t>(options.min_points, 2)) {
      ++out.dropped;
    } else {
      out.lines.push_back(std::move(line));
    }
  }
  refuse_short_lines_with_strays(out, options.on_bad_file);
  if (out.lines.empty()) {
    throw Error(fmt::format("{}: no line of handwriting has {} points ({} files, {} bad)", out.source,
                            options.min_points, out.files, out.file_errors.size()));
  }
  auto splits = options.split == InkSplit::Graves  ? split_as_graves(out.lines, source.lists)
                : options.split == InkSplit::Lines ? split_by_line(out.lines, options.split_seed)
                                                   : split_as_the_paper(out.lines, options.split_seed);
  out.parts = std::move(splits.parts);
  out.divided_forms = splits.divided_forms;
  out.unlisted = splits.unlisted;
  return out;
}

InkNormalisation measure_ink(const InkCorpus& corpus, const std::vector<size_t>& lines, InkCoordinates coordinates) {
  InkNormalisation out;
  out.coordinates = coordinates;
  const bool offsets = coordinates == InkCoordinates::Offsets;
  double count = 0;
  // Two passes: a difference of sums of squares would cancel most digits of the variance.
  std::array<double, 2> sum{}, squares{};
  const auto each = [&](const auto& take) {
    for (const auto index : lines) {
      const auto& points = corpus.lines.at(index).points;
      for (size_t i = offsets ? 1 : 0; i < points.size(); ++i) {
        take(points[i].x - (offsets ? points[i - 1].x : 0.0), points[i].y - (offsets ? points[i - 1].y : 0.0));
      }
    }
  };
  each([&](double x, double y) {
    sum[0] += x;
    sum[1] += y;
    ++count;
  });
  if (count == 0) throw Error(corpus.source + ": no line has a second point, so there is nothing to learn");
  for (size_t k = 0; k < 2; ++k) out.mean[k] = sum[k] / count;
  each([&](double x, double y) {
    squares[0] += (x - out.mean[0]) * (x - out.mean[0]);
    squares[1] += (y - out.mean[1]) * (y - out.mean[1]);
  });
  for (size_t k = 0; k < 2; ++k) {
    const double deviation = std::sqrt(squares[k] / count);
    out.deviation[k] = deviation > 0 ? deviation : 1;
  }
  return out;
}

}  // namespace hmrnn
