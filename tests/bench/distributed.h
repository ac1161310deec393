#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/contest.h"

// Training in several processes of this machine (hmrnn/run/process_group.h) against training in one.

namespace bench {

/// How a training run is laid out on the machine.
struct Layout {
  int processes;
  int threads;  ///< of each process
};

/// Measurements of one layout. Times are those of the first process, in seconds per step (a window of all streams).
struct DistributedRow {
  Size size{};
  Layout layout{};
  double step = 0;              ///< median
  double communication = 0;     ///< mean time in collective functions, including the wait for other processes
  double sum = 0;               ///< median time of the sum of the gradients alone, when all processes are ready
  int64_t bytes = 0;            ///< summed per step
  std::vector<double> updates;  ///< share of the steps at which each layer updates
};

/// Trains the character model of `size` on synthetic text: in each of `rounds` rounds with one process of two threads,
/// then with two processes of one thread, each time 1 untimed and `steps` timed steps. Forks these processes: call it
/// before LibTorch starts threads. Throws hmrnn::Error if one of them fails.
std::vector<DistributedRow> distributed_rows(const Size& size, int rounds, int64_t steps);

/// Prints the rows as a table.
void print_distributed(const std::vector<DistributedRow>& rows, int rounds);

/// JSON of a row for `--json`.
nlohmann::ordered_json to_json(const DistributedRow& row);

}  // namespace bench
