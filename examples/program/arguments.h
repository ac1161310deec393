#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// Option names without dashes → values as text.
using OptionMap = std::map<std::string, std::string>;

/// One option of a command.
struct OptionSpec {
  std::string name;
  std::string value;  ///< placeholder of the value in the help; empty: a switch without a value
  std::string help;
  std::string group = {};
  bool may_be_empty = false;  ///< whether the value may be empty
};

/// A command's parsed command line. Values are text; the parse_… functions below check them.
class Arguments {
 public:
  /// Parses argv[1] …, the arguments after the command's name. With --help, prints the help and returns nothing. Throws
  /// hmrnn::Error for an unknown option, a missing or empty value, or too many arguments. `positional`: name of the one
  /// positional argument; empty: none. `more`: name of any number of further arguments (rest()) in the help; empty:
  /// none are accepted.
  static std::optional<Arguments> parse(const std::string& command, const std::string& about,
                                        const std::vector<OptionSpec>& specs, const std::string& positional, int argc,
                                        char** argv, const std::string& more = {});

  bool has(const std::string& name) const { return values_.contains(name); }
  std::string get(const std::string& name, const std::string& otherwise) const;
  /// The value of an option; throws hmrnn::Error if it is absent.
  std::string require(const std::string& name) const;
  const OptionMap& values() const { return values_; }
  /// The arguments after the positional one.
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  OptionMap values_;
  std::vector<std::string> rest_;
};

/// An integer in [min, max]. This function and those below throw hmrnn::Error "--NAME TEXT: …" for a value that they do
/// not accept.
int64_t parse_integer(const std::string& name, const std::string& text, int64_t min,
                      int64_t max = std::numeric_limits<int64_t>::max());
/// A finite number in [min, max].
double parse_number(const std::string& name, const std::string& text,
                    double min = std::numeric_limits<double>::lowest(),
                    double max = std::numeric_limits<double>::max());
/// A finite number above 0, at most `max`.
double parse_above_zero(const std::string& name, const std::string& text,
                        double max = std::numeric_limits<double>::max());
/// A number in [0, 1).
double parse_below_one(const std::string& name, const std::string& text);
/// One of `allowed`.
std::string parse_choice(const std::string& name, const std::string& text, const std::vector<std::string>& allowed);
/// "512" or "512,256,128"
std::vector<int64_t> parse_sizes(const std::string& name, const std::string& text, int64_t max);
/// "0.02" or "0.02,0": finite numbers in [min, max]; an empty text gives none
std::vector<double> parse_numbers(const std::string& name, const std::string& text, double min, double max);
/// on | off
bool parse_switch(const std::string& name, const std::string& text);
