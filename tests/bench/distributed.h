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

/// What was measured of one layout. Times are of the first process, in seconds a step (a window of all streams).
struct DistributedRow {
  Size size{};
  Layout layout{};
  double step = 0;              ///< median
  double communication = 0;     ///< of it, in collective functions: waiting for the other processes included
  double sum = 0;               ///< what summing as many numbers takes by itself, all processes being there: median
  int64_t bytes = 0;            ///< that are summed a step
  std::vector<double> updates;  ///< of the layers, in these steps
};

/// Trains the character model of `size` on synthetic text, 1 step untimed and `steps` timed ones in each of `rounds`
/// rounds, with one process of two threads and two of one, which take turns. Layouts' processes are forked: to be
/// called before LibTorch has threads. Throws hmrnn::Error if one of them fails.
std::vector<DistributedRow> distributed_rows(const Size& size, int rounds, int64_t steps);

/// As a table, on stdout.
void print_distributed(const std::vector<DistributedRow>& rows, int rounds);

/// One row for `--json`.
nlohmann::ordered_json to_json(const DistributedRow& row);

}  // namespace bench
