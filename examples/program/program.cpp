#include "examples/program/program.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <system_error>

#include "examples/program/standard_streams.h"
#include "hmrnn/error.h"
#include "hmrnn/run/freed_memory.h"
#include "hmrnn/run/openmp_waits.h"
#include "hmrnn/run/out_of_memory.h"
#include "hmrnn/run/printable.h"
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

/// "char_lm", or "char_lm (process 1 of 2)" if torchrun started several processes and `text` does not say which.
std::string speaker(const std::string& text) {
  const char *rank = std::getenv("RANK"), *size = std::getenv("WORLD_SIZE");
  if (!rank || !size || std::string(size) == "1" || text.starts_with("process ")) return program_name();
  return program_name() + " (process " + rank + " of " + size + ")";
}

/// Prints the error on one line, whatever it contains, and returns the exit code. If stderr cannot be written, only the
/// exit code remains.
int report(const std::string& text, int code) {
  std::fflush(stdout);
  std::fputs((hmrnn::printable(speaker(text) + ": " + text) + "\n").c_str(), stderr);
  return code;
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
    if (name != command.name) continue;
    if (command.long_lasting) {
      // It requests a save of a training, and must not end the program before there is something to save.
      std::signal(SIGUSR1, SIG_IGN);
      hmrnn::shorten_openmp_waits(argv);
    }
    return command.run(argc - 1, argv + 1);
  }
  throw hmrnn::Error("unknown command '" + name + "'; it is " + names_of(commands) + ", see " + program + " --help");
}

}  // namespace

const std::string& program_name() { return name_of_program(); }

int run_program(const std::string& name, const std::string& about, const std::vector<Command>& commands, int argc,
                char** argv) {
  name_of_program() = name;
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond ulimit -f is then an error of its write, as on a full disk
  hmrnn::keep_freed_memory();
  open_standard_streams();
  try {
    const int code = run(about, commands, argc, argv);
    // A training that a signal ended has been saved, and its code says so; its reader may be what has left.
    if (code <= 128) require_whole_output();
    return code;
  } catch (const hmrnn::Error& error) {
    return report(error.what(), 2);
  } catch (const c10::Error& error) {  // the first line, without the stack trace
    const auto memory = hmrnn::memory_error_of(error);
    if (memory.has_value()) return report(*memory, 2);
    const std::string text = error.what_without_backtrace();
    return report(text.substr(0, text.find('\n')), 1);
  } catch (const std::bad_alloc&) {
    return report("out of memory", 2);
  } catch (const std::filesystem::filesystem_error& error) {  // a path that the user named
    return report(error.path1().string() + ": " + error.code().message(), 2);
  } catch (const std::system_error& error) {  // lost output, or an error that is not the user's
    return report(error.what(), output_is_whole() ? 1 : 2);
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return report(text.substr(0, text.find('\n')), 1);
  }
}
