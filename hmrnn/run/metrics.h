#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace hmrnn {

/// Appends records to RUN/metrics.jsonl: one JSON object per line. A line is complete or absent, unless the process is
/// killed within a write.
class MetricsWriter {
 public:
  /// Opens the file for appending, or creates it. With `resume_step` ≥ 0, first removes an incomplete last line and
  /// every record whose "step" is greater (these steps will be recorded again), atomically; all other lines stay byte
  /// for byte, and a complete last line without a line end gets one. Without it, a file whose last line has no line end
  /// is refused. Throws hmrnn::Error naming the path, and "PATH:LINE" for a line that is not a JSON object or whose
  /// "step" is not a number.
  explicit MetricsWriter(const std::filesystem::path& path, int64_t resume_step = -1);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  /// Appends `record` (an object, else c10::Error) as one line. Non-finite numbers become null, invalid UTF-8 becomes
  /// U+FFFD. If the write fails, removes what was written of the line and throws hmrnn::Error naming the path; the
  /// record is then written by the next write() or sync(), before later records.
  void write(const nlohmann::ordered_json& record) { write_line(line_of(record)); }

  /// The line that write() appends for `record`.
  static std::string line_of(const nlohmann::ordered_json& record);
  /// write() of a line from line_of().
  void write_line(const std::string& line);

  /// Waits until all records are on the disk; call it before saving a checkpoint that must not be newer than its
  /// records. Throws hmrnn::Error naming the path.
  void sync();

 private:
  void write_kept();

  std::string kept_;                  ///< lines whose write failed
  std::optional<int64_t> torn_from_;  ///< the file has a part of a line from this byte on, which could not be removed
  int descriptor_ = -1;
  std::filesystem::path path_;
};

}  // namespace hmrnn
