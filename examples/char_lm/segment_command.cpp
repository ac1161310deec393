// char_lm segment
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "boundary_text.h"
#include "commands.h"
#include "examples/program/standard_streams.h"
#include "hmrnn/analysis/operations.h"
#include "hmrnn/error.h"
#include "hmrnn/models/char_lm_stream.h"

namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kPiece = 1024;  // characters fed at once, so that a text without line ends needs no more memory

/// What the model decided at each of T characters: z [T, L-1], and those of the step before them, [L-1].
struct Boundaries {
  torch::Tensor z, z_before;
};

/// `read`: characters that the reader has read so far; moved on.
Boundaries feed(hmrnn::CharLMReader& reader, const hmrnn::CharLMCheckpoint& checkpoint, const torch::Tensor& index,
                int64_t& read, const std::string& run) {
  Boundaries out;
  std::vector<torch::Tensor> pieces;
  for (const auto& piece : index.split(kPiece)) {
    auto result = reader.feed(piece, given_boundaries(checkpoint, piece, read));
    read += piece.size(0);
    require_finite_result(result.logits.sum().item<double>(), run);
    if (pieces.empty()) out.z_before = result.z_before;
    pieces.push_back(result.z);
  }
  out.z = torch::cat(pieces);
  return out;
}

Json z_list(const torch::Tensor& z, bool soft) {
  Json list = Json::array();
  const auto* value = z.data_ptr<float>();
  for (int64_t t = 0; t < z.size(0); ++t) list.push_back(soft ? Json(value[t]) : Json(value[t] != 0 ? 1 : 0));
  return list;
}

std::string to_json(const std::string& text, const Boundaries& found, int64_t layers, bool soft, int64_t line) {
  Json z = Json::array();
  const auto columns = found.z.to(torch::kFloat32).t().contiguous();
  for (int64_t l = 0; l < columns.size(0); ++l) z.push_back(z_list(columns[l], soft));
  const Json json = {
      {"text", text}, {"z", z}, {"operations", hmrnn::operation_strings(found.z, found.z_before, layers)}};
  try {
    return json.dump();
  } catch (const nlohmann::json::exception&) {
    throw hmrnn::Error(fmt::format("line {} of the input is not UTF-8, which JSON text has to be", line));
  }
}

int terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 80;
}

}  // namespace

int segment_command(int argc, char** argv) {
  auto specs = model_options();
  const std::vector<OptionSpec> own = {{"json", "", "print one JSON object for each line"},
                                       {"seed", "N", "of Bernoulli boundaries (default: 1)"}};
  specs.insert(specs.end(), own.begin(), own.end());
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments = Arguments::parse("segment",
                                          "Reads text from the standard input and shows the boundaries that each layer "
                                          "finds in it, line by line.\n",
                                          specs, "run", argc, argv);
  if (!arguments) return 0;

  const auto run = arguments->require("run");
  const auto seed = static_cast<uint64_t>(parse_integer("seed", arguments->get("seed", "1"), 0));
  const bool as_json = arguments->has("json");
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);
  const auto& options = checkpoint.model->options;
  const auto layers = static_cast<int64_t>(options.hidden_sizes().size());
  const bool soft = options.core() == hmrnn::Core::HMLSTM && options.boundary() == hmrnn::BoundaryMode::Soft;
  const bool line_ends = checkpoint.vocabulary.contains('\n');
  const bool terminal = isatty(STDOUT_FILENO) == 1;

  hmrnn::CharLMReader reader(checkpoint.model, seed);
  auto last = torch::zeros({options.core() == hmrnn::Core::HMLSTM ? layers - 1 : 0});
  std::string line;
  int64_t read = 0;
  for (int64_t number = 1; output_is_whole() && std::getline(std::cin, line); ++number) {
    const auto size = static_cast<int64_t>(line.size());
    const bool has_end = !std::cin.eof();
    const auto fed = line_ends && has_end ? line + '\n' : line;
    const auto index = checkpoint.vocabulary.encode(fed, fmt::format("line {} of the input", number));
    Boundaries found{torch::zeros({0, last.size(0)}), last};
    if (!fed.empty()) {
      found = feed(reader, checkpoint, index.to(torch::kInt64), read, run);
      last = found.z[-1];
      found.z = found.z.narrow(0, 0, size);
    }
    const auto text = as_json ? to_json(line, found, layers, soft, number) + '\n'
                              : show_boundaries(line, found.z, soft, terminal ? terminal_width() : 0, terminal);
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
  require_whole_input();
  return 0;
}
