#pragma once

#include <functional>
#include <string>
#include <vector>

/// A command of a program: its first argument is `name`.
struct Command {
  std::string name;
  /// Gets the command's own command line (argv[0] is its name) and returns the exit code; throws hmrnn::Error for
  /// errors of the user.
  std::function<int(int, char**)> run;
  std::string about;
  /// Whether it computes for long, so that its threads' waits matter (run/openmp_waits.h).
  bool long_lasting = false;
};

/// The program's name in messages and help, as given to run_program.
const std::string& program_name();

/// The main function of a program with commands: help, version, and errors as one line on stderr. Returns the exit
/// code: 2 for an error of the user (including too little memory and lost output), 1 for any other.
int run_program(const std::string& name, const std::string& about, const std::vector<Command>& commands, int argc,
                char** argv);
