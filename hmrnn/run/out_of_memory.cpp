#include "hmrnn/run/out_of_memory.h"

#include <new>

#include "hmrnn/error.h"

namespace hmrnn {

namespace {

/// The text between `before` and the next `after`; empty if either is missing.
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

std::optional<std::string> memory_error_of(const c10::Error& error, const std::string& what) {
  const bool on_device = dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr;
  const std::string message = error.what_without_backtrace();
  FailedAllocation found;
  if (on_device) {
    found = read_failed_allocation(message);
  } else {
    // A failed allocation on the CPU has no exception type of its own in LibTorch.
    const auto bytes = between(message, "you tried to allocate ", " bytes");
    if (bytes.empty() || message.find("llocator") == std::string::npos) return std::nullopt;
    found.asked = bytes + " bytes";
  }
  auto text = std::string("out of memory") + (on_device ? " on the device" : "");
  const auto add = [&](const std::string& part, const char* separator) { text += separator + part; };
  if (!what.empty()) add(what, ": ");
  if (!found.asked.empty()) add("asked for " + found.asked, what.empty() ? ": " : ", ");
  if (!found.free.empty()) add(found.free + (found.total.empty() ? "" : " of " + found.total) + " free", ", ");
  return text;
}

void with_memory_errors_of(const std::string& what, const std::function<void()>& work) {
  try {
    work();
  } catch (const c10::Error& error) {
    const auto text = memory_error_of(error, what);
    if (!text) throw;
    throw Error(*text);
  } catch (const std::bad_alloc&) {
    throw Error("out of memory: " + what);
  }
}

}  // namespace hmrnn
