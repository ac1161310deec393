// handwriting synthesize
#include <fmt/format.h>

#include <filesystem>

#include "commands.h"
#include "hmrnn/data/ink_xml.h"
#include "hmrnn/data/synthetic_ink.h"
#include "hmrnn/error.h"
#include "hmrnn/io/atomic_file.h"

namespace fs = std::filesystem;

namespace {

void write_text(const fs::path& path, const std::string& text) {
  hmrnn::write_file_atomically(path, [&](const auto& sink) { sink(text); });
}

}  // namespace

int synthesize_command(int argc, char** argv) {
  const std::vector<OptionSpec> specs = {{"out", "DIR", "folder for the files; must be new or empty"},
                                         {"lines", "N", "lines of handwriting (default: 100)"},
                                         {"seed", "N", "seed of text and hands (default: 1)"}};
  const auto arguments = Arguments::parse(
      "synthesize",
      "Writes synthetic ink in the format of IAM-OnDB, DIR/lineStrokes/s00/s00-000/s00-000-01.xml and so on, and\n"
      "DIR/word_ends.txt with the name of each line and the numbers, from 0, of the points that end a word.\n",
      specs, "", argc, argv);
  if (!arguments) return 0;

  const fs::path out = arguments->require("out");
  const auto count = parse_integer("lines", arguments->get("lines", "100"), 1, 1'000'000);
  const auto seed = static_cast<uint64_t>(parse_integer("seed", arguments->get("seed", "1"), 0));
  std::error_code error;
  if (fs::exists(out, error) && !fs::is_directory(out, error)) throw hmrnn::Error(out.string() + " is not a folder");
  if (fs::exists(out, error) && !fs::is_empty(out, error)) throw hmrnn::Error(out.string() + " is not empty");
  std::string words;
  for (const auto& line : hmrnn::make_synthetic_ink(count, seed)) {
    const auto form = hmrnn::form_of(line.name);
    const auto folder = out / "lineStrokes" / form.substr(0, form.find('-')) / form;
    fs::create_directories(folder, error);
    if (error) throw hmrnn::Error("cannot create the folder " + folder.string() + ": " + error.message());
    write_text(folder / (line.name + ".xml"), hmrnn::format_ink_xml(line));
    words += line.name;
    for (size_t i = 0; i < line.word_end.size(); ++i) {
      if (line.word_end[i] != 0) words += fmt::format(" {}", i);
    }
    words += '\n';
  }
  write_text(out / "word_ends.txt", words);
  return 0;
}
