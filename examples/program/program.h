#pragma once

#include <functional>
#include <string>
#include <vector>

/// What the program does when its first argument is `name`.
struct Command {
  std::string name;
  /// Takes its own command line (argv[0] is its name) and returns the exit code; what the user got wrong is thrown as
  /// hmrnn::Error.
  std::function<int(int, char**)> run;
  std::string about;
};

/// The name that messages and helps use, as run_program was given it.
const std::string& program_name();

/// main of a program of commands: helps, version, and errors as one line on stderr. Returns the exit code: 2 for an
/// error of the user (too little memory and lost output among them), 1 for another one.
int run_program(const std::string& name, const std::string& about, const std::vector<Command>& commands, int argc,
                char** argv);
