// handwriting draw
#include <fmt/format.h>

#include "commands.h"
#include "examples/program/output_file.h"
#include "hmrnn/analysis/ink_svg.h"
#include "hmrnn/analysis/operations.h"
#include "hmrnn/data/ink_xml.h"
#include "hmrnn/error.h"
#include "hmrnn/io/atomic_file.h"
#include "hmrnn/models/handwriting_stream.h"
#include "hmrnn/run/random_state.h"

namespace {

constexpr int64_t kMaxPoints = 1'000'000, kMaxCount = 10'000;
constexpr double kMaxSize = 1e6;  // millimetres

/// The first point of every training line, with the pen down: no offset (Offsets), or the mean position.
torch::Tensor first_point(const hmrnn::InkNormalisation& normalisation) {
  hmrnn::InkLine line;
  line.points = {{static_cast<float>(normalisation.mean[0]), static_cast<float>(normalisation.mean[1]), false}};
  return hmrnn::ink_sequence(line, normalisation);
}

/// Panels that show where segments end: one for the pen, one for each layer with a detector.
std::vector<hmrnn::InkPanel> reconstruct(const hmrnn::HandwritingCheckpoint& checkpoint, const hmrnn::InkLine& line,
                                         torch::Device device, uint64_t seed, const std::string& run) {
  const auto& options = checkpoint.model->options;
  if (options.core() == hmrnn::Core::LSTM || options.hidden_sizes().size() < 2) {
    throw hmrnn::Error("--reconstruct: this model has no boundary detectors");
  }
  hmrnn::HandwritingStream stream(checkpoint.model, device, seed);
  const auto result = stream.feed(hmrnn::ink_sequence(line, checkpoint.normalisation));
  require_finite_result(result.raw.sum().item<double>(), run);
  const auto z = hmrnn::fired(result.z);
  std::vector<hmrnn::InkPanel> out;
  std::vector<hmrnn::InkPath> strokes = hmrnn::ink_segments(line, {});
  out.push_back({strokes, fmt::format("{}: {} pen strokes, {} points", line.name, strokes.size(), line.points.size())});
  for (int64_t l = 0; l < z.size(1); ++l) {
    std::vector<uint8_t> ends;
    for (int64_t t = 0; t < z.size(0); ++t) ends.push_back(z[t][l].item<bool>() ? 1 : 0);
    out.push_back({hmrnn::ink_segments(line, ends),
                   fmt::format("segments of layer {}: {} boundaries", l + 1, std::count(ends.begin(), ends.end(), 1))});
  }
  return out;
}

}  // namespace

int draw_command(int argc, char** argv) {
  auto specs = model_options();
  const std::vector<OptionSpec> own = {
      {"out", "FILE", "the drawing, FILE.svg"},
      {"count", "N", "lines to write (default: 5)"},
      {"points", "N", "points of each line (default: 700)"},
      {"bias", "B", "sharpens the mixtures: 0 samples from the model, 1 or 2 writes more neatly (default: 0)"},
      {"seed", "N", "of the draws (default: 1)"},
      {"style", "FILE", "a lineStrokes file that the model reads first, to continue in its style"},
      {"reconstruct", "FILE", "draws this lineStrokes file instead, with a colour for each segment of each layer"},
      {"scale", "MM", "millimetres for a unit of the data (default: 0.03)"},
      {"pen", "MM", "width of the pen in millimetres (default: 0.4)"}};
  specs.insert(specs.end(), own.begin(), own.end());
  for (const auto& spec : machine_options()) specs.push_back(spec);
  const auto arguments = Arguments::parse(
      "draw", "Samples lines from a model, or shows its boundaries in a line. The SVG has a path for each stroke.\n",
      specs, "run", argc, argv);
  if (!arguments) return 0;

  arguments->require("run");
  const auto out = arguments->require("out");
  require_output("out", out, ".svg", {arguments->get("style", ""), arguments->get("reconstruct", "")});
  const auto count = parse_integer("count", arguments->get("count", "5"), 1, kMaxCount);
  const auto points = parse_integer("points", arguments->get("points", "700"), 1, kMaxPoints);
  const auto bias = parse_number("bias", arguments->get("bias", "0"), 0, 100);
  const auto seed = static_cast<uint64_t>(parse_integer("seed", arguments->get("seed", "1"), 0));
  hmrnn::InkSvgOptions svg;
  svg.mm_per_unit = parse_above_zero("scale", arguments->get("scale", "0.03"), kMaxSize);
  svg.pen_mm = parse_above_zero("pen", arguments->get("pen", "0.4"), kMaxSize);
  for (const char* name : {"count", "points", "bias", "style"}) {
    if (arguments->has("reconstruct") && arguments->has(name)) {
      throw hmrnn::Error(
          fmt::format("--reconstruct draws a line that is there; --{} is for lines that the model writes", name));
    }
  }
  std::optional<hmrnn::InkLine> given;
  for (const char* name : {"style", "reconstruct"}) {
    if (arguments->has(name)) given = hmrnn::read_ink_file(arguments->require(name));
  }
  const auto device = set_up_machine(*arguments);
  const auto checkpoint = load_run(*arguments, device);

  std::vector<hmrnn::InkPanel> panels;
  if (arguments->has("reconstruct")) {
    panels = reconstruct(checkpoint, *given, device, seed, arguments->require("run"));
  } else {
    const auto start =
        given ? hmrnn::ink_sequence(*given, checkpoint.normalisation) : first_point(checkpoint.normalisation);
    auto generator = hmrnn::make_generator(seed);
    for (int64_t i = 0; i < count; ++i) {
      hmrnn::HandwritingStream stream(checkpoint.model, device, seed + static_cast<uint64_t>(i));
      torch::Tensor written;
      try {
        written = hmrnn::write_on(stream, start, points, bias, generator);
      } catch (const c10::ValueError&) {
        throw hmrnn::Error(arguments->require("run") + ": this model computes values that are not finite");
      }
      require_finite_result(written.sum().item<double>(), arguments->require("run"));
      panels.push_back({hmrnn::ink_strokes(hmrnn::ink_line(written, checkpoint.normalisation)), ""});
    }
  }
  const auto text = hmrnn::ink_svg(panels, svg);
  hmrnn::write_file_atomically(out, [&](const auto& sink) { sink(text); });
  return 0;
}
