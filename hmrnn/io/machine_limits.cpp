#include "hmrnn/io/machine_limits.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace hmrnn {
namespace fs = std::filesystem;
namespace {

/// The number at the beginning of a file; empty for "max", and if the file does not exist.
std::optional<int64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

/// The number that follows `key` on its line ("inactive_file 123", "MemAvailable: 123 kB").
std::optional<int64_t> read_entry(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    int64_t value = 0;
    if (words >> name >> value && name == key) return value;
  }
  return std::nullopt;
}

/// Folders of the control groups of the process, innermost first: those of a controller of version 1 ("cpu", "memory"),
/// or those of version 2 if `controller` is empty.
std::vector<fs::path> group_folders(const fs::path& root, const std::string& controller) {
  std::ifstream groups(root / "proc/self/cgroup");
  std::vector<fs::path> out;
  for (std::string line; std::getline(groups, line);) {  // "0::/user.slice/a", "4:cpu,cpuacct:/docker/b"
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool wanted =
        controller.empty() ? controllers == ",," : controllers.find("," + controller + ",") != std::string::npos;
    if (!wanted) continue;
    auto mount = root / "sys/fs/cgroup";
    if (!controller.empty()) mount /= controller;
    // In a container the path may be the host's, which does not exist here: then the mount point itself is the group.
    auto inner = fs::path(line.substr(second + 1)).relative_path();
    for (; !inner.empty(); inner = inner.parent_path()) out.push_back(mount / inner);
    out.push_back(mount);
  }
  return out;
}

/// Number of CPUs that a group's quota allows.
std::optional<double> quota_of(const fs::path& folder) {
  std::ifstream version2(folder / "cpu.max");  // "150000 100000", "max 100000"
  double quota = 0, period = 0;
  if (version2 >> quota >> period && quota > 0 && period > 0) return quota / period;
  const auto quota1 = read_number(folder / "cpu.cfs_quota_us"), period1 = read_number(folder / "cpu.cfs_period_us");
  if (quota1.value_or(-1) > 0 && period1.value_or(-1) > 0) {
    return static_cast<double>(*quota1) / static_cast<double>(*period1);
  }
  return std::nullopt;
}

/// Bytes left below a group's limit.
std::optional<int64_t> memory_left(const fs::path& folder) {
  auto limit = read_number(folder / "memory.max");
  auto used = read_number(folder / "memory.current");
  auto cached = read_entry(folder / "memory.stat", "inactive_file");
  if (!limit) {
    limit = read_number(folder / "memory.limit_in_bytes");
    used = read_number(folder / "memory.usage_in_bytes");
    cached = read_entry(folder / "memory.stat", "total_inactive_file");
  }
  if (!limit) return std::nullopt;
  return std::max<int64_t>(*limit - std::max<int64_t>(used.value_or(0) - cached.value_or(0), 0), 0);
}

int64_t affinity_cpus() {
#ifdef __linux__
  // A cpu_set_t of fixed size fails on machines with more CPUs than it has bits.
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const size_t size = CPU_ALLOC_SIZE(cpus);
    const int result = sched_getaffinity(0, size, set);
    const int count = result == 0 ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
#endif
  return std::max<int64_t>(std::thread::hardware_concurrency(), 1);
}

}  // namespace

int64_t usable_cpus(const fs::path& root) {
  auto cpus = affinity_cpus();
  for (const std::string controller : {"", "cpu"}) {
    for (const auto& folder : group_folders(root, controller)) {
      // Rounded up: one thread cannot use a quota of 1.5, two can.
      if (const auto quota = quota_of(folder)) cpus = std::min(cpus, static_cast<int64_t>(*quota + 0.999));
    }
  }
  return std::max<int64_t>(cpus, 1);
}

std::optional<int64_t> available_memory(const fs::path& root) {
  std::optional<int64_t> out;
  const auto at_most = [&out](int64_t bytes) {
    out = std::min(out.value_or(std::numeric_limits<int64_t>::max()), bytes);
  };
  if (const auto available = read_entry(root / "proc/meminfo", "MemAvailable:")) {
    at_most((*available + read_entry(root / "proc/meminfo", "SwapFree:").value_or(0)) * 1024);
  }
  for (const std::string controller : {"", "memory"}) {
    for (const auto& folder : group_folders(root, controller)) {
      if (const auto left = memory_left(folder)) at_most(*left);
    }
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    const auto pages = read_number(root / "proc/self/statm");  // the first number: pages of address space
    const auto used = pages.value_or(0) * sysconf(_SC_PAGESIZE);
    at_most(std::max<int64_t>(static_cast<int64_t>(limit.rlim_cur) - used, 0));
  }
  return out;
}

}  // namespace hmrnn
