// char_lm segment
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <limits>
#include <sstream>

#include "boundaries_svg.h"
#include "boundary_text.h"
#include "commands.h"
#include "examples/program/figures.h"
#include "examples/program/output_file.h"
#include "examples/program/standard_streams.h"
#include "hmrnn/analysis/operations.h"
#include "hmrnn/data/text_corpus.h"
#include "hmrnn/error.h"
#include "hmrnn/io/atomic_file.h"
#include "hmrnn/run/printable.h"
#include "segment_page.h"
#include "text_reader.h"
#include "unknown.h"

namespace {

/// Output of the command.
struct Output {
  bool json = false, probability = false;
  BoundaryTextOptions text;
  std::string svg, html;  ///< files; empty: none
  bool draws() const { return !svg.empty() || !html.empty(); }
};

Json list_of(const torch::Tensor& values, bool whole) {
  Json list = Json::array();
  const auto* value = values.const_data_ptr<float>();
  for (int64_t t = 0; t < values.size(0); ++t) list.push_back(whole ? Json(value[t] != 0 ? 1 : 0) : Json(value[t]));
  return list;
}

/// One list per layer of values [T, L-1].
Json lists_of(const torch::Tensor& values, bool whole) {
  Json out = Json::array();
  const auto columns = values.to(torch::kFloat32).t().contiguous();
  for (int64_t l = 0; l < columns.size(0); ++l) out.push_back(list_of(columns[l], whole));
  return out;
}

std::string to_json(const SegmentedLine& line, const torch::Tensor& z_before, int64_t layers, const Output& output,
                    const std::string& file, const std::string& what) {
  Json json;
  if (!file.empty()) json["file"] = file;
  json["text"] = line.text;
  json["z"] = lists_of(line.z, !output.text.soft);
  json["operations"] = hmrnn::operation_strings(line.z, z_before, layers);
  if (output.probability) json["probability"] = lists_of(line.probability, false);
  try {
    return json_line(json);
  } catch (const nlohmann::json::exception&) {
    throw hmrnn::Error(what + " is not UTF-8, which JSON text has to be");
  }
}

/// Whether the standard input may never end: it is neither a file nor closed.
bool is_endless_input() {
  struct stat status {};
  return fstat(STDIN_FILENO, &status) == 0 && !S_ISREG(status.st_mode);
}

/// Reads up to the next line end, which `line` does not get; false at the end of the input. Throws hmrnn::Error naming
/// `what` for a line of more than `most` bytes.
bool read_line(std::istream& in, std::string& line, size_t most, const std::string& what) {
  constexpr auto end_of_input = std::istream::traits_type::eof();
  line.clear();
  for (auto c = in.get(); c != '\n'; c = in.get()) {
    if (c == end_of_input) return !line.empty();
    if (line.size() == most) throw hmrnn::Error(what + " is longer than " + std::to_string(most >> 20) + " MiB");
    line += static_cast<char>(c);
  }
  return true;
}

int terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 80;
}

BoundaryColour colour_of(const Arguments& arguments, bool terminal) {
  const auto name = parse_choice("colour", arguments.get("colour", "auto"), {"auto", "off", "marks", "blocks"});
  if (name == "blocks") return BoundaryColour::Blocks;
  return name == "marks" || (name == "auto" && terminal) ? BoundaryColour::Marks : BoundaryColour::Off;
}

/// "updates of layers 1 to 3: 270, 56 and 9, 335 in all instead of 810"
std::string updates_caption(const SegmentedText& text, int64_t layers) {
  std::string out = fmt::format("updates of layers 1 to {}:", layers);
  int64_t sum = 0, symbols = 0;
  for (int64_t l = 0; l < layers; ++l) {
    int64_t updates = 0;
    symbols = 0;
    for (const auto& operations : text.operations) {
      const auto& letters = operations[static_cast<size_t>(l)];
      symbols += static_cast<int64_t>(letters.size());
      updates += static_cast<int64_t>(letters.size()) - std::count(letters.begin(), letters.end(), 'C');
    }
    sum += updates;
    out += fmt::format("{} {}", l == 0 ? "" : l + 1 == layers ? " and" : ",", updates);
  }
  return out + fmt::format(", {} in all instead of {}", sum, symbols * layers);
}

/// Segments a stream line by line.
class Segmenter {
 public:
  Segmenter(const hmrnn::CharLMCheckpoint& checkpoint, torch::Device device, uint64_t seed, const Arguments& arguments,
            const Output& output)
      : checkpoint_(checkpoint),
        reader_(checkpoint, device, seed, arguments.require("run")),
        unknown_(arguments, checkpoint.vocabulary),
        output_(output) {}

  /// `name`: the file; empty: standard input. Lines to be drawn are added to `drawn`.
  void read(std::istream& in, const std::string& name, SegmentedText& drawn) {
    const auto layers = static_cast<int64_t>(checkpoint_.model->options.hidden_sizes().size());
    const size_t most = name.empty() && is_endless_input() ? size_t{64} << 20 : std::numeric_limits<size_t>::max();
    const bool line_ends = checkpoint_.vocabulary.contains('\n');
    std::string line;
    for (int64_t number = 1; output_is_whole(); ++number) {
      const auto what = fmt::format("line {} of {}", number, name.empty() ? "the input" : name);
      if (!read_line(in, line, most, what)) break;
      const bool has_end = !in.eof();
      SegmentedLine found;
      found.text = unknown_.known(line, what);
      const auto size = static_cast<int64_t>(found.text.size());
      const auto fed = line_ends && has_end ? found.text + '\n' : found.text;
      auto z_before = last_;
      torch::Tensor of_all;  // includes the line end, which is a symbol too
      found.z = found.probability = torch::zeros({0, detectors()});
      if (!fed.empty()) {
        const auto result = reader_.read(checkpoint_.vocabulary.encode(fed, what));
        z_before = result.z_before;
        last_ = result.z[-1];
        of_all = result.z;
        found.z = result.z.narrow(0, 0, size);
        found.probability = result.probability.narrow(0, 0, size);
      } else if (!last_.defined()) {
        z_before = torch::zeros({detectors()});
      }
      if (output_.draws()) {
        drawn.operations.push_back(hmrnn::operation_strings(of_all.defined() ? of_all : found.z, z_before, layers));
        drawn.lines.push_back(found);
        continue;
      }
      if (!output_.json && !output_.probability) found.probability = torch::Tensor();
      const auto text =
          output_.json ? to_json(found, z_before, layers, output_, name, what) : show_boundaries(found, output_.text);
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    }
  }

 private:
  int64_t detectors() const {
    const auto& options = checkpoint_.model->options;
    return options.core() == hmrnn::Core::HMLSTM ? static_cast<int64_t>(options.hidden_sizes().size()) - 1 : 0;
  }

  const hmrnn::CharLMCheckpoint& checkpoint_;
  TextReader reader_;
  UnknownBytes unknown_;
  const Output& output_;
  torch::Tensor last_;  ///< z of the last symbol
};

void write(const std::string& path, const std::string& text) {
  hmrnn::write_file_atomically(path, [&](const auto& sink) { sink(text); });
}

}  // namespace

int segment_command(int argc, char** argv) {
  auto specs = model_options();
  const std::vector<OptionSpec> own = {
      {"json", "", "print one JSON object for each line"},
      {"probability", "", "also z~ of every detector: its certainty of a boundary"},
      {"colour", "HOW",
       "off, marks, blocks (each segment of the text on its own background), or auto: marks on a terminal"},
      {"width", "N", "fold lines to N columns; 0: never (default: those of the terminal, 64 in drawings)"},
      {"svg", "FILE", "draw the segments instead of printing them"},
      {"html", "FILE", "write a page instead of printing"},
      {"caption", "TEXT", "below the drawing (default: how often each layer was updated)", {}, /*may_be_empty=*/true},
      {"seed", "N", "of Bernoulli boundaries (default: 1)"},
      UnknownBytes::option()};
  specs.insert(specs.end(), own.begin(), own.end());
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments =
      Arguments::parse("segment",
                       "Reads FILEs, or the standard input, and shows the boundaries that each layer "
                       "finds in them, line by line.\n",
                       specs, "run", argc, argv, "FILE");
  if (!arguments) return 0;

  arguments->require("run");
  const auto seed = static_cast<uint64_t>(parse_integer("seed", arguments->get("seed", "1"), 0));
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  Output output;
  output.json = arguments->has("json");
  output.probability = arguments->has("probability");
  output.svg = arguments->get("svg", "");
  output.html = arguments->get("html", "");
  output.text.colour = colour_of(*arguments, terminal);
  const auto folded = output.draws() ? 64 : terminal ? terminal_width() : 0;
  output.text.width =
      static_cast<int>(parse_integer("width", arguments->get("width", std::to_string(folded)), 0, 100'000));
  if (!output.svg.empty()) require_output("svg", output.svg, ".svg", arguments->rest());
  if (!output.html.empty()) require_output("html", output.html, ".html", arguments->rest());
  if (output.draws() && output.json) throw hmrnn::Error("--json prints; --svg and --html write files instead");
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);
  const auto& options = checkpoint.model->options;
  output.text.soft = options.core() == hmrnn::Core::HMLSTM && options.boundary() == hmrnn::BoundaryMode::Soft;

  SegmentedText drawn;
  // The state starts from zeros for every file.
  for (const auto& file : arguments->rest()) {
    if (output.json && !hmrnn::is_utf8(file)) {
      throw hmrnn::Error(file + ": its name is not UTF-8, which JSON text has to be");
    }
    std::istringstream in(hmrnn::read_text_file(file));
    if (!output.json && !output.draws() && arguments->rest().size() > 1)
      fmt::print("==> {} <==\n", hmrnn::printable(file));
    Segmenter(checkpoint, device, seed, *arguments, output).read(in, file, drawn);
  }
  if (arguments->rest().empty()) {
    Segmenter(checkpoint, device, seed, *arguments, output).read(std::cin, "", drawn);
    require_whole_input();
  }
  if (!output.draws()) return 0;
  if (drawn.lines.empty()) throw hmrnn::Error("there is no text to draw");
  if (!output.svg.empty()) {
    const auto layers = static_cast<int64_t>(options.hidden_sizes().size());
    write(output.svg,
          boundaries_svg(drawn.lines, output.text.width, arguments->get("caption", updates_caption(drawn, layers))));
  }
  if (!output.html.empty()) write(output.html, segment_page(drawn, checkpoint, arguments->require("run")));
  return 0;
}
