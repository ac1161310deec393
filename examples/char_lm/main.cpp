// The program char_lm: trains HM-LSTM character models and uses them.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>

#include "commands.h"
#include "hmrnn/error.h"
#include "hmrnn/ops/cuda_library.h"
#include "hmrnn/train/allocator.h"
#include "hmrnn/train/run_folder.h"
#include "hmrnn/version.h"

namespace {

struct Command {
  const char* name;
  std::function<int(int, char**)> run;
  const char* about;
};

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      {"train", train_command, "train a model on a text"},
      {"eval", eval_command, "bits per character of a model on a text"},
      {"sample", sample_command, "let a model write"},
      {"segment", segment_command, "show the boundaries that a model finds in a text"},
  };
  return all;
}

std::string help() {
  std::string text =
      "char_lm: character models with hierarchical multiscale LSTMs\n\n"
      "Usage:\n  char_lm COMMAND [options]     (char_lm COMMAND --help shows a command's options)\n\nCommands:\n";
  for (const auto& command : commands()) text += fmt::format("  {:<9} {}\n", command.name, command.about);
  return text;
}

/// An error is one line, whatever file names and libraries put into its text.
std::string first_line(const std::string& text, bool whole) {
  if (!whole) return text.substr(0, text.find('\n'));
  std::string line = text;
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return line;
}

int run(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h" || name == "help") {
    std::fputs(help().c_str(), stdout);
    return 0;
  }
  if (name == "--version") {
    std::printf("%s\n", hmrnn::version());
    return 0;
  }
  if (name.empty()) throw hmrnn::Error("no command; see char_lm --help");
  for (const auto& command : commands()) {
    if (name == command.name) return command.run(argc - 1, argv + 1);
  }
  throw hmrnn::Error("unknown command '" + name + "'; it is train, eval, sample or segment, see char_lm --help");
}

}  // namespace

std::vector<OptionSpec> machine_options() {
  return {{"threads", "N", "CPU threads (default: all cores)", "Machine"},
          {"device", "NAME", "cpu, cuda or auto (default)", "Machine"}};
}

torch::Device set_up_machine(int64_t threads, const std::string& device) {
  if (threads > 0) at::set_num_threads(static_cast<int>(threads));
  return hmrnn::resolve_device(device);
}

torch::Device set_up_machine(const Arguments& arguments) {
  return set_up_machine(parse_integer("threads", arguments.get("threads", "0"), 0, 4096),
                        arguments.get("device", "auto"));
}

hmrnn::CharLMCheckpoint load_run(const std::string& name, torch::Device device) {
  auto checkpoint = hmrnn::load_char_lm(hmrnn::RunFolder::find_model(name));
  checkpoint.model->to(device);
  return checkpoint;
}

int main(int argc, char** argv) {
  hmrnn::keep_freed_memory();
  try {
    return run(argc, argv);
  } catch (const hmrnn::Error& error) {
    std::fflush(stdout);
    fmt::print(stderr, "char_lm: {}\n", first_line(error.what(), true));
    return 2;
  } catch (const std::bad_alloc&) {
    std::fflush(stdout);
    std::fputs("char_lm: out of memory\n", stderr);
    return 1;
  } catch (const std::exception& error) {  // LibTorch's, whose later lines are a stack trace
    std::fflush(stdout);
    fmt::print(stderr, "char_lm: {}\n", first_line(error.what(), false));
    return 1;
  }
}
