// A trained model's checkpoint, read again.
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "catch.h"
#include "hmrnn/models/char_lm_checkpoint.h"
#include "support/temporary_folder.h"
#include "train/trainer_fixture.h"

using namespace hmrnn;
using hmrnn::test::SmallRun;
using hmrnn::test::TemporaryFolder;

TEST_CASE("a checkpoint gives back the regularisers; one from before there were any has none") {
  const TemporaryFolder folder;
  SmallRun run;
  run.trainer.steps = 1;
  run.regularise();
  run(folder / "run", false);
  const auto path = folder / "run/last/model.safetensors";
  const auto options = load_char_lm(path).model->options;
  CHECK(options.recurrent_dropout() == 0.1);
  CHECK(options.locked_dropout() == 0.25);
  CHECK(options.weight_drop() == 0.3);
  CHECK(options.embedding_dropout() == 0.1);
  auto file = read_safetensors(path);
  auto json = nlohmann::json::parse(file.metadata.at("hmrnn"));
  for (const auto* key : {"recurrent_dropout", "locked_dropout", "weight_drop", "embedding_dropout"}) {
    auto changed = json;
    changed[key] = 1;
    file.metadata["hmrnn"] = changed.dump();
    write_safetensors(folder / "bad", file);
    CHECK_THROWS_WITH(load_char_lm(folder / "bad"), ContainsSubstring(key));
    REQUIRE(json.erase(key) == 1);
  }
  file.metadata["hmrnn"] = json.dump();
  write_safetensors(folder / "old", file);
  const auto old = load_char_lm(folder / "old").model->options;
  CHECK(old.recurrent_dropout() == 0);
  CHECK((old.locked_dropout() == 0 && old.weight_drop() == 0 && old.embedding_dropout() == 0));
}

TEST_CASE("a checkpoint gives back model, vocabulary and slope, and refuses damage") {
  const TemporaryFolder folder;
  SmallRun run;
  run.trainer.steps = 31;  // after the first epoch, so the slope has changed
  run(folder / "run", false);
  const auto path = folder / "run/last/model.safetensors";
  const auto checkpoint = load_char_lm(path);
  CHECK(checkpoint.step == 31);
  CHECK(checkpoint.model->slope() == Approx(1.5));
  CHECK(checkpoint.corpus.corpus == "synthetic");
  TextCorpusOptions options;
  options.synthetic_length = 4000;
  CHECK(checkpoint.vocabulary == load_text_corpus(options).vocabulary);

  const auto file = read_safetensors(path);
  CHECK_FALSE(file.find("hm_lstm.slope").defined());
  for (const auto& [name, parameter] : checkpoint.model->named_parameters().pairs()) {
    CHECK(torch::equal(file.find(name), parameter));
  }
  CHECK(file.tensors.size() == checkpoint.model->parameters().size());

  const auto refuses = [&](const SafeTensors& changed, const std::string& why) {
    write_safetensors(folder / "bad", changed);
    CHECK_THROWS_WITH(load_char_lm(folder / "bad"), ContainsSubstring("bad") && ContainsSubstring(why));
  };
  auto changed = file;
  changed.metadata.clear();
  refuses(changed, "no metadata");
  for (const auto& [key, value, why] : std::vector<std::tuple<std::string, nlohmann::json, std::string>>{
           {"vocabulary", {97, 97}, "twice"},
           {"vocabulary", {97, 256}, "256"},
           {"vocabulary", {97, 98}, "embedding.weight"},
           {"hidden_sizes", {8, 7, 1'000'000'000'000}, "layers.2.recurrent"},
           {"hidden_sizes", nlohmann::json::array(), "hidden_sizes"},
           {"embedding_size", 7, "embedding.weight"},
           {"slope", -1, "slope"},
           {"slope", 1e300, "slope"},
           {"core", "gru", "core"},
           {"boundary", 3, "boundary"}}) {
    changed = file;
    auto json = nlohmann::json::parse(file.metadata.at("hmrnn"));
    json[key] = value;
    changed.metadata["hmrnn"] = json.dump();
    INFO(key << " " << value);
    refuses(changed, key == "boundary" ? "malformed" : why);
  }
  // Empty matrices with the columns of an absurd size: only the rows say that it is none of this file.
  for (const auto& [name, key, size] : std::vector<std::tuple<std::string, std::string, int64_t>>{
           {"hm_lstm.layers.2.recurrent", "hidden_sizes", 1'000'000'000},
           {"output.softmax.weight", "output_embedding_size", 1'000'000'000}}) {
    changed = file;
    for (auto& [each, tensor] : changed.tensors) {
      if (each == name) tensor = torch::empty({0, size});
    }
    auto json = nlohmann::json::parse(file.metadata.at("hmrnn"));
    json[key] = key == "hidden_sizes" ? nlohmann::json({8, 7, size}) : nlohmann::json(size);
    changed.metadata["hmrnn"] = json.dump();
    refuses(changed, "tensor " + name + " has ");
  }
  changed = file;
  changed.tensors[3].second = changed.tensors[3].second.clone();
  changed.tensors[3].second.view(-1)[0] = std::numeric_limits<float>::quiet_NaN();
  refuses(changed, "not finite");
  changed = file;
  changed.tensors.pop_back();
  refuses(changed, "output.softmax.bias");
}
