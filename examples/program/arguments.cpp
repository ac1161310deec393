#include "examples/program/arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cxxopts.hpp>

#include "examples/program/program.h"
#include "hmrnn/error.h"

using hmrnn::Error;

namespace {

template <typename T>
std::optional<T> parse_whole(const std::string& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Replaces the library's typographic quotes, which terminals without UTF-8 cannot show.
std::string plain(std::string text) {
  for (const std::string quote : {"\u2018", "\u2019"}) {
    for (size_t at; (at = text.find(quote)) != std::string::npos;) text.replace(at, quote.size(), "'");
  }
  return text;
}

}  // namespace

std::optional<Arguments> Arguments::parse(const std::string& command, const std::string& about,
                                          const std::vector<OptionSpec>& specs, const std::string& positional, int argc,
                                          char** argv, const std::string& more) {
  const auto name = program_name() + " " + command;
  cxxopts::Options options(name, about);
  options.set_width(110);
  std::vector<std::string> groups;
  for (const auto& spec : specs) {
    if (spec.name == positional) {
      options.add_options("positional")(spec.name, spec.help, cxxopts::value<std::string>());
      continue;
    }
    if (groups.empty() || groups.back() != spec.group) groups.push_back(spec.group);
    auto add = options.add_options(spec.group);
    if (spec.value.empty()) {
      add(spec.name, spec.help);
    } else {
      add(spec.name, spec.help, cxxopts::value<std::string>(), spec.value);
    }
  }
  options.add_options(groups.empty() ? "" : groups.back())("h,help", "this help");
  options.custom_help("[options]");
  if (!positional.empty()) {
    if (more.empty()) {
      options.parse_positional({positional});
    } else {
      options.add_options("positional")("rest", more, cxxopts::value<std::vector<std::string>>());
      options.parse_positional({positional, "rest"});
    }
    options.positional_help((positional == "run" ? "RUN" : positional) + (more.empty() ? "" : " [" + more + " ..]"));
  }
  try {
    const auto result = options.parse(argc, argv);
    if (result.count("help") > 0) {
      std::fputs(options.help(groups).c_str(), stdout);
      return std::nullopt;
    }
    if (!result.unmatched().empty()) {
      throw Error(fmt::format("'{}' is one argument too many; see {} --help", result.unmatched()[0], name));
    }
    Arguments out;
    if (!more.empty() && result.count("rest") > 0) out.rest_ = result["rest"].as<std::vector<std::string>>();
    if (std::find(out.rest_.begin(), out.rest_.end(), "") != out.rest_.end()) {
      throw Error(fmt::format("{} is empty; see {} --help", more, name));
    }
    for (const auto& spec : specs) {
      if (result.count(spec.name) == 0) continue;
      const bool is_switch = spec.value.empty() && spec.name != positional;
      const auto value = is_switch ? "on" : result[spec.name].as<std::string>();
      if (value.empty() && !spec.may_be_empty) {
        throw Error(
            fmt::format("{} is empty; see {} --help", spec.name == positional ? "RUN" : "--" + spec.name, name));
      }
      out.values_[spec.name] = value;
    }
    return out;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {  // cxxopts renamed its base class between major versions
    throw Error(fmt::format("{}; see {} --help", plain(error.what()), name));
  }
}

std::string Arguments::get(const std::string& name, const std::string& otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? otherwise : found->second;
}

std::string Arguments::require(const std::string& name) const {
  const auto found = values_.find(name);
  if (found == values_.end())
    throw Error(name == "run" ? "RUN, the folder of a run, is missing" : "--" + name + " is missing");
  return found->second;
}

int64_t parse_integer(const std::string& name, const std::string& text, int64_t min, int64_t max) {
  const auto value = parse_whole<int64_t>(text);
  if (!value) throw Error(fmt::format("--{} {}: not a whole number", name, text));
  if (*value < min) throw Error(fmt::format("--{} {}: must be at least {}", name, text, min));
  if (*value > max) throw Error(fmt::format("--{} {}: must be at most {}", name, text, max));
  return *value;
}

double parse_number(const std::string& name, const std::string& text, double min, double max) {
  const auto value = parse_whole<double>(text);
  if (!value || !std::isfinite(*value)) throw Error(fmt::format("--{} {}: not a finite number", name, text));
  if (*value < min) throw Error(fmt::format("--{} {}: must be at least {}", name, text, min));
  if (*value > max) throw Error(fmt::format("--{} {}: must be at most {}", name, text, max));
  return *value;
}

std::vector<int64_t> parse_sizes(const std::string& name, const std::string& text, int64_t max) {
  std::vector<int64_t> out;
  for (size_t begin = 0; begin <= text.size();) {
    const auto end = std::min(text.find(',', begin), text.size());
    const auto value = parse_whole<int64_t>(text.substr(begin, end - begin));
    if (!value || *value < 1 || *value > max) {
      throw Error(
          fmt::format("--{} {}: expected a size from 1 to {}, or several with commas between them", name, text, max));
    }
    out.push_back(*value);
    begin = end + 1;
  }
  return out;
}

std::string parse_choice(const std::string& name, const std::string& text, const std::vector<std::string>& allowed) {
  if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) return text;
  throw Error(fmt::format("--{} {}: must be one of {}", name, text, fmt::join(allowed, ", ")));
}

double parse_above_zero(const std::string& name, const std::string& text, double max) {
  const double value = parse_number(name, text, std::numeric_limits<double>::lowest(), max);
  if (value <= 0) throw Error(fmt::format("--{} {}: must be above 0", name, text));
  return value;
}

double parse_below_one(const std::string& name, const std::string& text) {
  const double value = parse_number(name, text, 0, 1);
  if (value == 1) throw Error(fmt::format("--{} {}: must be below 1", name, text));
  return value;
}

std::vector<double> parse_numbers(const std::string& name, const std::string& text, double min, double max) {
  std::vector<double> out;
  for (size_t begin = 0; !text.empty() && begin <= text.size();) {
    const auto end = std::min(text.find(',', begin), text.size());
    out.push_back(parse_number(name, text.substr(begin, end - begin), min, max));
    begin = end + 1;
  }
  return out;
}

bool parse_switch(const std::string& name, const std::string& text) {
  if (text == "on") return true;
  if (text == "off") return false;
  throw Error(fmt::format("--{} {}: must be on or off", name, text));
}
