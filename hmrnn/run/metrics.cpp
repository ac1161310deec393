#include "hmrnn/run/metrics.h"

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "hmrnn/error.h"
#include "hmrnn/io/atomic_file.h"
#include "hmrnn/io/file_descriptor.h"
#include "hmrnn/io/json_text.h"

namespace hmrnn {
namespace {

using nlohmann::json;

/// Whether a resume keeps the record: its step is at most `resume_step`, or it has none.
bool is_kept(const json& record, int64_t resume_step, const std::string& place) {
  const auto step = record.find("step");
  if (step == record.end()) return true;
  if (!step->is_number()) throw Error(place + ": \"step\" is not a number");
  if (step->is_number_unsigned()) return step->get<uint64_t>() <= static_cast<uint64_t>(resume_step);
  if (step->is_number_integer()) return step->get<int64_t>() <= resume_step;
  return step->get<double>() <= static_cast<double>(resume_step);
}

void rewrite_for_resume(const std::filesystem::path& path, int64_t resume_step) {
  std::ifstream input(path, std::ios::binary);
  if (!input) throw_errno(path, "cannot open", errno);
  write_file_atomically(path, [&](const std::function<void(std::string_view)>& sink) {
    std::string line;
    for (int64_t number = 1; std::getline(input, line); ++number) {
      const bool has_end = !input.eof();
      const std::string place = path.string() + ":" + std::to_string(number);
      const json record = parse_json(line);
      if (!record.is_object()) {
        if (!has_end) break;  // incomplete
        throw Error(place + ": not a JSON object");
      }
      if (!is_kept(record, resume_step, place)) continue;
      line += '\n';
      sink(line);
    }
    if (input.bad()) throw Error(path.string() + ": cannot read");
  });
}

/// Appending to an incomplete line would make the next record invalid too.
void refuse_torn_line(const std::filesystem::path& path) {
  std::ifstream input(path, std::ios::binary | std::ios::ate);
  if (!input) throw_errno(path, "cannot open", errno);
  if (input.tellg() <= 0) return;
  input.seekg(-1, std::ios::end);
  if (input.get() != '\n') throw Error(path.string() + ": its last line is torn; only a resumed run can mend it");
}

}  // namespace

MetricsWriter::MetricsWriter(const std::filesystem::path& path, int64_t resume_step) : path_(path) {
  struct stat status;
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && !S_ISREG(status.st_mode)) throw Error(path.string() + ": not a regular file");
  if (exists && resume_step >= 0) rewrite_for_resume(path, resume_step);
  if (exists && resume_step < 0) refuse_torn_line(path);
  descriptor_ = open_file(path, O_WRONLY | O_APPEND | O_CREAT, 0666);
  if (descriptor_ < 0) throw_errno(path, "cannot open for appending", errno);
}

MetricsWriter::~MetricsWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string MetricsWriter::line_of(const nlohmann::ordered_json& record) {
  TORCH_CHECK(record.is_object(), "MetricsWriter::write: expected a JSON object, got ", record.type_name());
  // dump() writes non-finite numbers as null and produces no line ends.
  return record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

void MetricsWriter::write_line(const std::string& line) {
  kept_ += line;
  write_kept();
}

void MetricsWriter::write_kept() {
  if (kept_.empty()) return;
  if (torn_from_ && ::ftruncate(descriptor_, *torn_from_) != 0) throw_errno(path_, "cannot write", errno);
  torn_from_.reset();
  struct stat before;
  if (::fstat(descriptor_, &before) != 0) throw_errno(path_, "cannot write", errno);
  if (const int error = write_fully(descriptor_, kept_)) {
    // A full disk took part of the line. If the part cannot be removed now, the next write removes it first, or a
    // resume does.
    if (::ftruncate(descriptor_, before.st_size) != 0) torn_from_ = before.st_size;
    throw_errno(path_, "cannot write", error);
  }
  kept_.clear();
}

void MetricsWriter::sync() {
  write_kept();
  if (const int error = sync_file(descriptor_)) throw_errno(path_, "cannot write", error);
}

}  // namespace hmrnn
