#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace hmrnn {

/// RUN/metrics.jsonl: one JSON object a line, each written with a single write(2), so that a line is whole or absent.
class MetricsWriter {
 public:
  /// Opens for appending; a new file is made if there is none. With `resume_step` ≥ 0, first removes a torn last line
  /// and every record whose "step" is greater (they will be written again), atomically; all other lines stay byte for
  /// byte. Without it, an existing file with a torn last line is refused. A last line that lacks only its line end is
  /// not torn: it gets one. Throws hmrnn::Error naming the path, and "PATH:LINE" for a line that is not a JSON object
  /// or whose "step" is not a number.
  explicit MetricsWriter(const std::filesystem::path& path, int64_t resume_step = -1);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  /// Appends `record` (an object, else c10::Error) as one line. Non-finite numbers become null, bytes that are not
  /// UTF-8 U+FFFD. Throws hmrnn::Error naming the path where it cannot be written, and takes back what was of the line;
  /// the record is kept, and goes before the next one or at sync(), in the order in which records came.
  void write(const nlohmann::ordered_json& record);

  /// Waits until every line is on the disk: called before a checkpoint that must not outlive its records. Throws
  /// hmrnn::Error naming the path.
  void sync();

 private:
  void write_kept();

  std::string kept_;  ///< lines that could not be written yet
  int descriptor_ = -1;
  std::filesystem::path path_;
};

}  // namespace hmrnn
