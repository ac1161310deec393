#include "hmrnn/run/out_of_memory.h"

#include <c10/util/Exception.h>

#include "hmrnn/error.h"

namespace hmrnn {

namespace {

/// What stands between `before` and the next `after`; empty if there is no such place.
std::string between(const std::string& text, const std::string& before, const std::string& after) {
  const auto begin = text.find(before);
  if (begin == std::string::npos) return {};
  const auto from = begin + before.size();
  const auto end = text.find(after, from);
  return end == std::string::npos ? std::string() : text.substr(from, end - from);
}

}  // namespace

FailedAllocation read_failed_allocation(const std::string& message) {
  FailedAllocation out;
  out.asked = between(message, "Tried to allocate ", ". ");
  out.free = between(message, "of which ", " is free");
  out.total = between(message, "has a total capacity of ", " of which");
  return out;
}

void with_memory_errors_of(const std::string& what, const std::function<void()>& work) {
  try {
    work();
  } catch (const c10::OutOfMemoryError& error) {
    const auto found = read_failed_allocation(error.what_without_backtrace());
    auto text = "out of memory on the device: " + what;
    if (!found.asked.empty()) text += ", asked for " + found.asked;
    if (!found.free.empty()) text += ", " + found.free + (found.total.empty() ? "" : " of " + found.total) + " free";
    throw Error(text);
  }
}

}  // namespace hmrnn
