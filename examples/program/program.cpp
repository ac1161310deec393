#include "examples/program/program.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>

#include "hmrnn/error.h"
#include "hmrnn/run/allocator.h"
#include "hmrnn/version.h"

namespace {

std::string& name_of_program() {
  static std::string name;
  return name;
}

std::string help(const std::string& about, const std::vector<Command>& commands) {
  const auto& name = program_name();
  auto text = fmt::format(
      "{0}: {1}\n\nUsage:\n  {0} COMMAND [options]     ({0} COMMAND --help shows a command's options)\n\n"
      "Commands:\n",
      name, about);
  size_t width = 9;
  for (const auto& command : commands) width = std::max(width, command.name.size());
  for (const auto& command : commands) text += fmt::format("  {:<{}} {}\n", command.name, width, command.about);
  return text;
}

/// "train, eval or sample"
std::string names_of(const std::vector<Command>& commands) {
  std::string out;
  for (size_t i = 0; i < commands.size(); ++i) {
    out += i == 0 ? "" : i + 1 < commands.size() ? ", " : " or ";
    out += commands[i].name;
  }
  return out;
}

/// An error is one line, whatever file names and libraries put into its text.
std::string first_line(const std::string& text, bool whole) {
  if (!whole) return text.substr(0, text.find('\n'));
  std::string line = text;
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return line;
}

int run(const std::string& about, const std::vector<Command>& commands, int argc, char** argv) {
  const auto& program = program_name();
  const std::string name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h" || name == "help") {
    std::fputs(help(about, commands).c_str(), stdout);
    return 0;
  }
  if (name == "--version") {
    std::printf("%s\n", hmrnn::version());
    return 0;
  }
  if (name.empty()) throw hmrnn::Error("no command; see " + program + " --help");
  for (const auto& command : commands) {
    if (name == command.name) return command.run(argc - 1, argv + 1);
  }
  throw hmrnn::Error("unknown command '" + name + "'; it is " + names_of(commands) + ", see " + program + " --help");
}

}  // namespace

const std::string& program_name() { return name_of_program(); }

int run_program(const std::string& name, const std::string& about, const std::vector<Command>& commands, int argc,
                char** argv) {
  name_of_program() = name;
  hmrnn::keep_freed_memory();
  try {
    return run(about, commands, argc, argv);
  } catch (const hmrnn::Error& error) {
    std::fflush(stdout);
    fmt::print(stderr, "{}: {}\n", name, first_line(error.what(), true));
    return 2;
  } catch (const c10::OutOfMemoryError& error) {  // a device's
    std::fflush(stdout);
    fmt::print(stderr, "{}: {}\n", name, first_line(error.what_without_backtrace(), false));
    return 2;
  } catch (const std::bad_alloc&) {
    std::fflush(stdout);
    fmt::print(stderr, "{}: out of memory\n", name);
    return 1;
  } catch (const std::exception& error) {  // LibTorch's, whose later lines are a stack trace
    std::fflush(stdout);
    fmt::print(stderr, "{}: {}\n", name, first_line(error.what(), false));
    return 1;
  }
}
