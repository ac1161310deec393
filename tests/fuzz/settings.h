#pragma once

// Fuzzes the settings of a run: the metadata of its state, the options in it, and those of a command line that override
// them. Accepted settings must be accepted again after storing them. For the program whose `TrainSettings` the includer
// has included.
#include <string>
#include <vector>

#include "examples/program/training.h"
#include "hmrnn/error.h"
#include "hmrnn/train/trainer_state.h"
#include "tests/fuzz/replay.h"

namespace {

void expect_printable(const std::string& text) {
  if (text.empty()) fail("an error says nothing", text);
}

/// Parses words between zero bytes as a command line.
void parse_command_line(const std::string& text) {
  std::vector<std::string> words = {"train"};
  for (size_t begin = 0; begin <= text.size();) {
    const auto end = std::min(text.find('\0', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  for (const auto& word : words) {
    if (word == "-h" || word.starts_with("--h")) return;  // would print the help
  }
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  const auto arguments =
      Arguments::parse("train", "", TrainSettings::specs(), "", static_cast<int>(argv.size()), argv.data());
  if (!arguments) return;
  const auto settings = TrainSettings::create(arguments->values());
  if (TrainSettings::resumed(settings.options(), {}, "run").options() != settings.options()) {
    fail("options change when they are stored", text);
  }
}

void take_up(const std::string& text) {
  hmrnn::SafeTensors file;
  file.metadata["hmrnn"] = text;
  hmrnn::TrainerState::parse(file, "state");
  const auto stored = stored_options(hmrnn::TrainerState::run_settings(file, "state"), "state");
  const auto settings = TrainSettings::resumed(stored, {}, "run");
  for (const auto& [name, value] : stored) {
    if (!settings.options().contains(name)) return;  // compare_options rejects it
  }
  if (TrainSettings::resumed(settings.options(), {}, "run").options() != settings.options()) {
    fail("options change when they are stored", text);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    if (!text.empty() && text[0] == '{') {
      take_up(text);
    } else {
      parse_command_line(text);
    }
  } catch (const hmrnn::Error& error) {
    expect_printable(error.what());
  }
  return 0;
}
