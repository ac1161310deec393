#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/contest.h"

namespace bench {

/// Prints the rows of a group as a table under `title`.
void print_table(const std::string& title, const std::vector<Row>& rows, const Ceiling& ceiling);

/// Prints the names with the most time for each contestant.
void print_profiles(const std::string& title, const std::vector<Profile>& profiles);

/// JSON of a row for `--json`.
nlohmann::ordered_json to_json(const Row& row);
/// JSON of a profile for `--json`.
nlohmann::ordered_json to_json(const Profile& profile);

}  // namespace bench
