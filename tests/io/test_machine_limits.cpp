#include <sched.h>

#include "catch.h"
#include "hmrnn/io/machine_limits.h"
#include "support/files.h"

namespace {

int64_t cpus_of_mask() {
  cpu_set_t set;
  REQUIRE(sched_getaffinity(0, sizeof set, &set) == 0);
  return CPU_COUNT(&set);
}

}  // namespace

TEST_CASE("CPUs: the affinity mask counts, not the machine") {
  const TemporaryFolder root;  // without control groups
  CHECK(hmrnn::usable_cpus(root.path) == cpus_of_mask());
  cpu_set_t before, one;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(hmrnn::usable_cpus(root.path) == 1);
  REQUIRE(sched_setaffinity(0, sizeof before, &before) == 0);
}

TEST_CASE("CPUs: the least quota of all control groups around the process, rounded up") {
  const auto mask = cpus_of_mask();
  const auto expected = [&](int64_t quota) { return std::min(mask, quota); };
  const TemporaryFolder root;
  root.write("proc/self/cgroup", "0::/user.slice/job/task\n");
  root.write("sys/fs/cgroup/user.slice/job/task/cpu.max", "max 100000\n");
  CHECK(hmrnn::usable_cpus(root.path) == mask);
  root.write("sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n");
  CHECK(hmrnn::usable_cpus(root.path) == expected(2));
  root.write("sys/fs/cgroup/user.slice/job/task/cpu.max", "20000 100000\n");
  CHECK(hmrnn::usable_cpus(root.path) == 1);

  const TemporaryFolder old;  // version 1; the path is the host's, as in a container without a separate namespace
  old.write("proc/self/cgroup", "12:memory:/docker/0a\n4:cpu,cpuacct:/docker/0a\n");
  old.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  old.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  CHECK(hmrnn::usable_cpus(old.path) == mask);
  old.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
  CHECK(hmrnn::usable_cpus(old.path) == 1);
}

TEST_CASE("memory: the least of what the machine has and the control groups leave, caches being free") {
  const TemporaryFolder root;
  CHECK_FALSE(hmrnn::available_memory(root.path).has_value());
  root.write("proc/meminfo", "MemTotal:       24000000 kB\nMemFree:          100000 kB\nMemAvailable:    2000000 kB\n");
  CHECK(hmrnn::available_memory(root.path) == 2'048'000'000);
  root.write("proc/self/cgroup", "0::/job/task\n");
  root.write("sys/fs/cgroup/job/memory.max", "1000000000\n");
  root.write("sys/fs/cgroup/job/memory.current", "700000000\n");
  root.write("sys/fs/cgroup/job/memory.stat", "anon 1\nfile 300000000\ninactive_file 200000000\n");
  CHECK(hmrnn::available_memory(root.path) == 500'000'000);
  root.write("sys/fs/cgroup/job/task/memory.max", "max\n");
  CHECK(hmrnn::available_memory(root.path) == 500'000'000);

  const TemporaryFolder old;
  old.write("proc/self/cgroup", "3:memory:/docker/0a\n");
  old.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "400\n");
  old.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "500\n");
  old.write("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 50\n");
  CHECK(hmrnn::available_memory(old.path) == 0);
#ifdef __linux__
  CHECK(hmrnn::available_memory().value() > 0);  // of this machine
#endif
}
