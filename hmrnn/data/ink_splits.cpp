#include "hmrnn/data/ink_splits.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <sstream>
#include <utility>

#include "hmrnn/data/split_mix.h"
#include "hmrnn/error.h"
#include "hmrnn/io/whole_file.h"

namespace hmrnn {
namespace {

constexpr size_t kTrain = 10465, kValid = 581, kTest = 582, kAll = kTrain + kValid + kTest;

/// The size of a part for `count` lines, in the paper's proportion: rounded, at least 1.
size_t share(size_t count, size_t part) { return std::max<size_t>((count * part + kAll / 2) / kAll, 1); }

/// Chooses forms with `wanted` lines in total, or as close below as whole forms allow; among the possible choices one
/// that ends earliest in the list (subset sums by dynamic programming).
std::vector<bool> choose_forms(const std::vector<std::vector<size_t>>& forms, size_t wanted) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  std::vector<size_t> last(wanted + 1, kNone);  // [sum] the form that reached this sum first
  size_t best = 0;
  for (size_t i = 0; i < forms.size() && best < wanted; ++i) {
    const size_t size = forms[i].size();
    for (size_t sum = wanted; sum >= size; --sum) {  // downwards, so that each form is used once
      const bool reachable = sum == size || last[sum - size] != kNone;
      if (!reachable || last[sum] != kNone) continue;
      last[sum] = i;
      best = std::max(best, sum);
    }
  }
  std::vector<bool> out(forms.size(), false);
  for (size_t sum = best; sum > 0; sum -= forms[last[sum]].size()) out[last[sum]] = true;
  return out;
}

void count_divided(const std::vector<InkLine>& lines, InkSplits& splits) {
  std::map<std::string, std::set<std::string>> parts_of;
  for (const auto& [part, indices] : splits.parts) {
    for (const auto i : indices) parts_of[form_of(lines[i].name)].insert(part);
  }
  splits.divided_forms = static_cast<size_t>(
      std::count_if(parts_of.begin(), parts_of.end(), [](const auto& entry) { return entry.second.size() > 1; }));
}

void require_three(const std::vector<InkLine>& lines) {
  if (lines.size() < 3) {
    throw Error("three parts need at least 3 lines of handwriting, there are " + std::to_string(lines.size()));
  }
}

}  // namespace

InkSplits split_by_line(const std::vector<InkLine>& lines, uint64_t seed) {
  require_three(lines);
  std::vector<size_t> order(lines.size());
  std::iota(order.begin(), order.end(), size_t{0});
  SplitMix64(seed).shuffle(order);
  InkSplits out;
  auto next = order.begin();
  const auto take = [&](const std::string& part, size_t count) {
    const auto end = next + static_cast<std::ptrdiff_t>(count);
    out.parts[part].assign(next, end);
    std::sort(out.parts[part].begin(), out.parts[part].end());
    next = end;
  };
  take("test", share(lines.size(), kTest));
  take("valid", share(lines.size(), kValid));
  take("train", static_cast<size_t>(order.end() - next));
  count_divided(lines, out);
  return out;
}

InkSplits split_as_the_paper(const std::vector<InkLine>& lines, uint64_t seed) {
  require_three(lines);
  std::map<std::string, std::vector<size_t>> by_form;
  for (size_t i = 0; i < lines.size(); ++i) by_form[form_of(lines[i].name)].push_back(i);
  std::vector<std::vector<size_t>> forms;
  for (auto& [form, members] : by_form) forms.push_back(std::move(members));
  SplitMix64 random(seed);
  random.shuffle(forms);

  InkSplits out;
  const auto take = [&](const std::string& part, size_t wanted) {
    auto& indices = out.parts[part];
    const auto chosen = choose_forms(forms, wanted);
    std::vector<std::vector<size_t>> left;
    for (size_t i = 0; i < forms.size(); ++i) {
      if (chosen[i]) {
        indices.insert(indices.end(), forms[i].begin(), forms[i].end());
      } else {
        left.push_back(std::move(forms[i]));
      }
    }
    forms = std::move(left);
    if (const auto missing = wanted - indices.size(); missing > 0) {  // no remaining form fits: divide one
      auto& form = forms.front();
      indices.insert(indices.end(), form.end() - static_cast<std::ptrdiff_t>(missing), form.end());
      form.resize(form.size() - missing);
    }
    std::sort(indices.begin(), indices.end());
  };
  take("test", share(lines.size(), kTest));
  take("valid", share(lines.size(), kValid));
  auto& train = out.parts["train"];
  for (const auto& form : forms) train.insert(train.end(), form.begin(), form.end());
  std::sort(train.begin(), train.end());
  count_divided(lines, out);
  return out;
}

InkSplits split_as_graves(const std::vector<InkLine>& lines, const std::filesystem::path& folder) {
  InkSplits out;
  std::map<std::string, std::string> part_of;  // form → part
  for (const auto& [part, name] : {std::pair("train", "trainset.txt"), std::pair("valid", "testset_v.txt"),
                                   std::pair("valid2", "testset_t.txt"), std::pair("test", "testset_f.txt")}) {
    const auto path = folder / name;
    std::istringstream file(read_whole_file(path));
    for (std::string form; file >> form;) {
      const auto [found, is_new] = part_of.emplace(form, part);
      if (!is_new) throw Error(path.string() + ": form " + form + " is listed already, in " + found->second);
    }
    out.parts[part];
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto found = part_of.find(form_of(lines[i].name));
    if (found == part_of.end()) {
      ++out.unlisted;
    } else {
      out.parts[found->second].push_back(i);
    }
  }
  for (const auto& [part, indices] : out.parts) {
    if (indices.empty())
      throw Error("no line of handwriting belongs to the " + part + " part of the lists in " + folder.string());
  }
  count_divided(lines, out);
  return out;
}

}  // namespace hmrnn
