#include "examples/program/model_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <system_error>

#include "examples/program/output_file.h"
#include "examples/program/program.h"
#include "hmrnn/error.h"
#include "hmrnn/io/checkpoint.h"
#include "hmrnn/io/json_text.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/run/printable.h"
#include "hmrnn/run/run_folder.h"

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

/// Removes folders from a list of paths: "a/b.txt,c/d.txt" → "b.txt,d.txt".
std::string names_of_files(const std::string& list) {
  std::string out;
  for (size_t begin = 0; begin <= list.size();) {
    const auto end = std::min(list.find(',', begin), list.size());
    out += (begin > 0 ? "," : "") + fs::path(list.substr(begin, end - begin)).filename().string();
    begin = end + 1;
  }
  return out;
}

/// The metadata without this machine's folders; a corpus is then searched for in the default folders.
std::string without_folders(const std::string& metadata) {
  auto json = hmrnn::parse_json<Json>(metadata);
  if (!json.contains("corpus")) return metadata;
  auto& corpus = json["corpus"];
  if (corpus.contains("data_dir")) corpus["data_dir"] = "";
  for (const std::string key : {"name", "valid_file", "test_file"}) {
    if (corpus.contains(key)) corpus[key] = names_of_files(corpus[key].get<std::string>());
  }
  return json.dump();
}

}  // namespace

std::vector<OptionSpec> model_options() {
  return {{"run", "", "folder of a run, or a model.safetensors"},
          {"verbose", "", "print to standard error which file is read, and whether its checksums were verified"}};
}

fs::path model_file(const Arguments& arguments) { return hmrnn::RunFolder::find_model(arguments.require("run")); }

void tell_about_model(const Arguments& arguments, const fs::path& file, int64_t step, bool verified) {
  if (!arguments.has("verbose")) return;
  const auto text = fmt::format(
      "{}: {}, step {}, {}", program_name(), file.string(), step,
      verified ? "checksums verified" : "without checksums (written by an earlier version, or by another program)");
  std::fputs((hmrnn::printable(text) + "\n").c_str(), stderr);
}

void require_finite_result(double value, const std::string& run) {
  if (!std::isfinite(value)) throw hmrnn::Error(run + ": this model computes values that are not finite");
}

int export_model(int argc, char** argv, const std::function<void(const fs::path&)>& load) {
  auto specs = model_options();
  specs.push_back({"out", "FILE", "the copy, FILE.safetensors; must not exist"});
  specs.push_back(
      {"dtype", "NAME", "of the weights: float32 (default), or bfloat16, half as large and rounded to 8 bits"});
  const auto arguments = Arguments::parse(
      "export",
      "Writes RUN's model (best, else last) as one file for use elsewhere: weights, options, and vocabulary\n"
      "or normalisation.\n",
      specs, "run", argc, argv);
  if (!arguments) return 0;

  const fs::path out = arguments->require("out");
  require_new_output("out", out.string(), ".safetensors");
  const auto dtype = parse_choice("dtype", arguments->get("dtype", "float32"), {"float32", "bfloat16"});
  const auto source = model_file(*arguments);
  load(source);
  auto file = hmrnn::read_safetensors(source);
  tell_about_model(*arguments, source, hmrnn::parse_json(file.metadata.at("hmrnn")).value("step", int64_t{0}),
                   file.verified);
  file.metadata["hmrnn"] = without_folders(file.metadata.at("hmrnn"));
  hmrnn::convert_floating_point(file, dtype == "float32" ? torch::kFloat32 : torch::kBFloat16);
  int64_t weights = 0, bytes = 0;
  for (const auto& [name, tensor] : file.tensors) {
    if (!torch::isfinite(tensor).all().item<bool>()) {
      throw hmrnn::Error(source.string() + ": tensor " + name + " has values too large for " + dtype);
    }
    weights += tensor.numel();
    bytes += static_cast<int64_t>(tensor.nbytes());
  }
  hmrnn::write_safetensors(out, file);
  fmt::print("{}: {} weights, {}, {:.2f} MB\n", hmrnn::printable(out.string()), weights, dtype,
             static_cast<double>(bytes) / 1e6);
  return 0;
}
