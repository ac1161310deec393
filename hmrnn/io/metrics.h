#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "hmrnn/export.h"

namespace hmrnn {

/// RUN/metrics.jsonl: one JSON object a line, each written with a single write(2), so that a line is whole or absent.
class HMRNN_API MetricsWriter {
 public:
  /// Opens for appending. With `resume_step` ≥ 0, first removes a torn last line and every record whose "step" is greater
  /// (they will be written again), atomically. Throws hmrnn::Error naming the path.
  MetricsWriter(const std::filesystem::path& path, int64_t resume_step = -1);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  /// Appends `record` (an object) as one line. Non-finite numbers become null.
  void write(const nlohmann::ordered_json& record);

 private:
  int descriptor_ = -1;
  std::filesystem::path path_;
};

}  // namespace hmrnn
