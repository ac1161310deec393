#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/contest.h"

namespace bench {

/// The rows of a group as a table under `title`, on stdout.
void print_table(const std::string& title, const std::vector<Row>& rows, const Ceiling& ceiling);

/// The names that took the most time of each, on stdout.
void print_profiles(const std::string& title, const std::vector<Profile>& profiles);

/// One row for `--json`.
nlohmann::ordered_json to_json(const Row& row);
/// One of `--profile` for it.
nlohmann::ordered_json to_json(const Profile& profile);

}  // namespace bench
