#include <cmath>
#include <limits>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/cross_entropy.h"
#include "hmrnn/ops/parameter_update.h"
#include "support/called_operators.h"
#include "support/tensors.h"
#include "support/thread_count.h"
#include "support/traced_graph.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

/// Parameters of sizes below and above a piece that a thread takes, and what Adam keeps of them.
struct UpdatedModel {
  std::vector<torch::Tensor> parameters, exp_avg, exp_avg_sq;
  torch::Tensor updates = torch::zeros({}), learning_rate = torch::full({}, 0.01, torch::kFloat64);

  explicit UpdatedModel(torch::ScalarType dtype) {
    torch::manual_seed(1);
    const std::vector<std::vector<int64_t>> shapes = {{33, 17}, {129, 200}, {0, 4}, {20, 1}, {129}, {}, {20001}};
    for (const auto& shape : shapes) {
      parameters.push_back(torch::randn(shape, dtype));
      exp_avg.push_back(torch::zeros(shape, dtype));
      exp_avg_sq.push_back(torch::zeros(shape, dtype));
    }
  }
  AdamTensors tensors(const std::vector<torch::Tensor>& gradients, const torch::Tensor& loss) const {
    return {parameters, gradients, exp_avg, exp_avg_sq, updates, learning_rate, loss};
  }
  std::vector<torch::Tensor> all() const {
    auto out = parameters;
    out.insert(out.end(), exp_avg.begin(), exp_avg.end());
    out.insert(out.end(), exp_avg_sq.begin(), exp_avg_sq.end());
    out.push_back(updates);
    return out;
  }
};

constexpr int64_t kMatrices = 4;

/// Random gradients, in one step of three a thousand times as large.
std::vector<torch::Tensor> gradients_of(const UpdatedModel& model, int64_t step) {
  torch::manual_seed(100 + step);
  std::vector<torch::Tensor> out;
  for (const auto& p : model.parameters) out.push_back(torch::randn_like(p) * (step % 3 == 0 ? 1 : 0.001));
  return out;
}

const torch::Tensor& fine() {
  static const auto loss = torch::tensor(1.0);
  return loss;
}

}  // namespace

TEST_CASE("the update of all parameters is LibTorch's, for any number of threads") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kFloat64);
  AdamNumbers numbers{.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .matrices = kMatrices};
  numbers.clip = GENERATE(0.0, 0.5);
  numbers.skip_norm = GENERATE(0.0, 50.0);
  numbers.weight_decay = GENERATE(0.0, 0.1);
  numbers.decoupled = GENERATE(false, true);
  const UpdatedModel reference(dtype);
  std::vector<UpdatedModel> models(4, UpdatedModel(dtype));
  for (auto& model : models) model = UpdatedModel(dtype);  // each with tensors of its own
  double changed = 0;
  int64_t skipped = 0;
  for (int64_t step = 0; step < 5; ++step) {
    INFO("step " << step << ", " << dtype << ", clip " << numbers.clip << ", skip_norm " << numbers.skip_norm
                 << ", weight decay " << numbers.weight_decay << (numbers.decoupled ? ", decoupled" : ""));
    const auto gradients = gradients_of(reference, step);
    std::vector<torch::Tensor> exact;
    for (const auto& g : gradients) exact.push_back(g.to(torch::kFloat64).norm());
    const auto exact_norms = torch::stack(exact);
    const auto before = reference.parameters[1].clone();
    std::vector<torch::Tensor> copies;  // LibTorch scales gradients in place
    for (const auto& g : gradients) copies.push_back(g.clone());
    const auto expected = reference_clipped_adam_(reference.tensors(copies, fine()), numbers);
    CHECK(torch::allclose(expected.norms.to(torch::kFloat64), exact_norms, 1e-5, 0));
    changed = std::max(changed, (reference.parameters[1] - before).abs().max().item<double>());
    skipped += expected.skipped.item<float>() == 1;
    for (int threads = 1; threads <= 4; ++threads) {
      const auto& model = models[threads - 1];
      const ThreadCount count(threads);
      const auto report = clipped_adam_(model.tensors(gradients, fine()), numbers);
      const double bound = dtype == torch::kFloat32 ? 2e-6 : 1e-12;
      CHECK(torch::allclose(report.norms.to(torch::kFloat64), exact_norms, bound, 0));
      CHECK(torch::allclose(report.norm.to(torch::kFloat64), exact_norms.norm(), bound, 0));
      CHECK(report.norms.scalar_type() == dtype);
      CHECK(same(report.skipped, expected.skipped));
      CHECK(same(report.not_finite, expected.not_finite));
      for (size_t i = 0; i < reference.all().size(); ++i) {
        const auto x = reference.all()[i];
        // Squares of clipped gradients are small: the bound is relative to the largest.
        const double largest = x.numel() > 0 ? x.abs().max().item<double>() : 0;
        CHECK(torch::allclose(model.all()[i], x, 100 * bound, bound * largest));
        CHECK(same(model.all()[i], models[0].all()[i]));
      }
    }
  }
  CHECK(changed > 0.005);
  CHECK(skipped == (numbers.skip_norm > 0 ? 2 : 0));
}

TEST_CASE("an update of what is not finite changes no tensor") {
  const float bad = GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30F);
  const UpdatedModel model(torch::kFloat32);
  const AdamNumbers numbers{.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip = 1, .matrices = kMatrices};
  clipped_adam_(model.tensors(gradients_of(model, 0), fine()), numbers);
  std::vector<torch::Tensor> before;
  for (const auto& x : model.all()) before.push_back(x.clone());
  auto gradients = gradients_of(model, 1);
  const bool in_loss =
      GENERATE(false, true) && bad != 1e30F;  // a norm whose square overflows float32 counts as not finite
  if (!in_loss) gradients[6][20000] = bad;
  const auto report = clipped_adam_(model.tensors(gradients, in_loss ? torch::tensor(bad) : fine()), numbers);
  CHECK(report.skipped.item<float>() == 1);
  CHECK(report.not_finite.item<float>() == 1);
  CHECK(std::isfinite(report.norm.item<float>()) == in_loss);
  CHECK(std::isfinite(report.norms[6].item<float>()) == in_loss);
  CHECK(std::isfinite(report.norms[1].item<float>()));
  for (size_t i = 0; i < before.size(); ++i) CHECK(same(model.all()[i], before[i]));
}

TEST_CASE("tensors of any strides are updated, and autograd sees that they changed") {
  const AdamNumbers numbers{.weight_decay = 0.1, .matrices = 1};
  torch::manual_seed(3);
  const auto transposed = [](const torch::Tensor& x) { return x.t().contiguous().t(); };
  const std::vector<torch::Tensor> start{torch::randn({33, 17}), torch::randn({33, 17}), torch::randn({33, 17}),
                                         torch::rand({33, 17})};
  const auto update = [&](std::vector<torch::Tensor> x, bool reference) {
    const std::vector<torch::Tensor> parameters{x[0]}, gradients{x[1]}, moments{x[2]}, squares{x[3]};
    const AdamTensors tensors{
        parameters, gradients, moments, squares, torch::zeros({}), torch::full({}, 0.1, torch::kFloat64), fine()};
    reference ? reference_clipped_adam_(tensors, numbers) : clipped_adam_(tensors, numbers);
    CHECK(tensors.updates.item<float>() == 1);
    return x;
  };
  const auto copies = [&] {
    std::vector<torch::Tensor> out;
    for (const auto& x : start) out.push_back(x.clone());
    return out;
  };
  const auto expected = update(copies(), true);
  for (size_t strided = 0; strided < 5; ++strided) {  // each in turn, and none
    auto x = copies();
    if (strided < 4) x[strided] = transposed(x[strided]);
    std::vector<uint32_t> versions;
    for (const auto& each : x) versions.push_back(each._version());
    x = update(x, false);
    for (const size_t written : {0, 2, 3}) {
      INFO("tensor " << strided << " has other strides; tensor " << written);
      CHECK(torch::allclose(x[written], expected[written], 1e-4, 1e-6));
      CHECK(x[written]._version() > versions[written]);
    }
  }
  const std::vector<torch::Tensor> averages{torch::zeros({17, 33}).t()}, values{start[0]};
  average_(averages, values, torch::tensor(0.25));
  CHECK(torch::allclose(averages[0], start[0] * 0.25));
  CHECK(averages[0]._version() > 0);
}

TEST_CASE("what is 1 - beta is rounded once, so that a decay near 1 is exact too") {
  for (const double beta2 : {0.99999, 0.99999999}) {
    const UpdatedModel model(torch::kFloat32), reference(torch::kFloat32);
    const AdamNumbers numbers{.beta2 = beta2, .matrices = kMatrices};
    for (int64_t step = 0; step < 3; ++step) {
      clipped_adam_(model.tensors(gradients_of(model, step), fine()), numbers);
      reference_clipped_adam_(reference.tensors(gradients_of(reference, step), fine()), numbers);
    }
    INFO("beta2 " << beta2);
    CHECK(torch::allclose(model.exp_avg_sq[1], reference.exp_avg_sq[1], 1e-5, 0));
    CHECK(torch::allclose(model.parameters[1], reference.parameters[1], 1e-4, 1e-6));
  }
}

TEST_CASE(
    "a norm equal to the clip is not clipped, one equal to the limit is not skipped, and a rate of 0 moves nothing") {
  const auto run = [](const AdamNumbers& numbers, double rate) {
    const std::vector<torch::Tensor> parameters{torch::ones({4})}, gradients{torch::full({4}, 2.5F)};  // norm 5
    const std::vector<torch::Tensor> moments{torch::zeros({4})}, squares{torch::zeros({4})};
    const auto report = clipped_adam_(
        {parameters, gradients, moments, squares, torch::zeros({}), torch::full({}, rate, torch::kFloat64), fine()},
        numbers);
    CHECK(report.skipped.item<float>() == 0);
    CHECK(report.norm.item<float>() == 5);
    CHECK(moments[0][0].item<double>() == Approx(0.25));
    return parameters[0][0].item<double>();
  };
  CHECK(run({.clip = 5, .skip_norm = 5}, 0.125) == Approx(0.875));
  // Limits are compared in the parameters' dtype, and the square of a norm must be finite in it.
  const auto skips = [](float gradient, int64_t n, double limit, bool reference) {
    const std::vector<torch::Tensor> parameters{torch::ones({n})}, gradients{torch::full({n}, gradient)};
    const std::vector<torch::Tensor> moments{torch::zeros({n})}, squares{torch::zeros({n})};
    const AdamTensors tensors{
        parameters, gradients, moments, squares, torch::zeros({}), torch::full({}, 0.1, torch::kFloat64), fine()};
    const AdamNumbers limited{.skip_norm = limit};
    return (reference ? reference_clipped_adam_(tensors, limited) : clipped_adam_(tensors, limited))
               .skipped.item<float>() == 1;
  };
  for (const bool reference : {false, true}) {
    CHECK_FALSE(skips(0.1F, 1, 0.1, reference));  // 0.1 in float32 is above 0.1
    CHECK(skips(0.1F, 1, 0.09, reference));
    CHECK(skips(1e17F, 40000, 0, reference));  // norm 2e19, in several pieces
    CHECK_FALSE(skips(1e16F, 40000, 0, reference));
  }
  CHECK(run({.weight_decay = 0.5, .decoupled = true, .matrices = 0}, 0) == 1);
}

TEST_CASE("the update and the averages refuse lists that do not fit") {
  const UpdatedModel model(torch::kFloat32);
  auto gradients = gradients_of(model, 0);
  gradients[1] = gradients[1].t();
  CHECK_THROWS_WITH(clipped_adam_(model.tensors(gradients, fine()), {}), ContainsSubstring("tensor 1 must be"));
  gradients.pop_back();
  CHECK_THROWS_WITH(clipped_adam_(model.tensors(gradients, fine()), {}), ContainsSubstring("7 tensors each, got 6"));
  CHECK_THROWS_WITH(average_(model.exp_avg, gradients, torch::tensor(0.5)), ContainsSubstring("7 tensors each, got 6"));
  const std::vector<torch::Tensor> none, half{torch::ones({2}, torch::kHalf)};
  CHECK_THROWS_WITH(average_(none, none, torch::tensor(0.5)), ContainsSubstring("no tensors"));
  CHECK_THROWS_WITH(average_(half, half, torch::tensor(0.5)), ContainsSubstring("float32 or float64"));
  CHECK(model.updates.item<float>() == 0);
}

TEST_CASE("what other devices compute reads nothing back: it can be part of a graph") {
  const UpdatedModel captured(torch::kFloat32), plain(torch::kFloat32);
  const AdamNumbers numbers{.clip = 0.5, .skip_norm = 50, .weight_decay = 0.1, .matrices = kMatrices};
  std::vector<torch::Tensor> input, averages;
  for (const auto& x : captured.parameters) {
    input.push_back(torch::zeros_like(x));
    averages.push_back(torch::zeros_like(x));
  }
  const auto loss = torch::ones({});
  const auto logits = torch::randn({5, 3, 8}), weight = torch::ones({5, 3});
  const auto target = torch::randint(8, {5, 3}, torch::kInt64);
  AdamReport report;
  const auto average = c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_average_", "");
  const auto work = [&] {
    report = reference_clipped_adam_(captured.tensors(input, loss), numbers);
    torch::jit::Stack arguments{averages, captured.parameters, report.skipped};
    average.callBoxedForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd, arguments);
    reference_cross_entropy(logits, target);
    reference_cross_entropy(logits, target, weight);
  };
  TracedGraph graph;
  graph.capture(work);
  CHECK(graph.host_reads().empty());
  CHECK(graph.size() > 10);
  for (const auto* model : {&captured, &plain}) {  // the capture made an update
    for (auto x : model->all()) x.zero_();
  }
  int skipped = 0;
  for (int64_t step = 0; step < 7; ++step) {
    const auto gradients = gradients_of(plain, step);
    std::vector<torch::Tensor> copies;
    for (size_t i = 0; i < input.size(); ++i) {
      input[i].copy_(gradients[i]);
      copies.push_back(gradients[i].clone());
    }
    graph.replay();
    const auto expected = reference_clipped_adam_(plain.tensors(copies, loss), numbers);
    CHECK(same(report.skipped, expected.skipped));
    skipped += expected.skipped.item<float>() == 1;
    for (size_t i = 0; i < plain.all().size(); ++i) CHECK(same(captured.all()[i], plain.all()[i]));
  }
  CHECK(skipped == 3);
}

TEST_CASE("averages approach values by their share, in any number of pieces and threads") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kFloat64);
  const auto values = UpdatedModel(dtype).parameters;
  std::vector<torch::Tensor> expected, first;
  for (int threads = 1; threads <= 3; ++threads) {
    const ThreadCount count(threads);
    std::vector<torch::Tensor> averages;
    for (const auto& x : values) averages.push_back(torch::full_like(x, 0.5));
    for (int step = 0; step < 3; ++step) average_(averages, values, torch::tensor(0.125, dtype));
    if (threads == 1) first = averages;
    for (size_t i = 0; i < values.size(); ++i) {
      const auto exact = 0.5 + (values[i] - 0.5) * (1 - std::pow(0.875, 3));
      CHECK(torch::allclose(averages[i], exact, 1e-5, 1e-6));
      CHECK(same(averages[i], first[i]));
    }
  }
  const std::vector<torch::Tensor> kept{torch::ones({3})}, others{torch::full({3}, 2.0)};
  average_(kept, others, torch::tensor(0.0));  // a skipped update
  CHECK(same(kept[0], torch::ones({3})));
}

TEST_CASE("the update and the averages are one operator each, however many parameters there are") {
  const UpdatedModel model(torch::kFloat32);
  const AdamNumbers numbers{.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip = 1, .matrices = kMatrices};
  const auto gradients = gradients_of(model, 0);
  const auto called = called_operators([&] {
    clipped_adam_(model.tensors(gradients, fine()), numbers);
    average_(model.exp_avg, model.parameters, torch::tensor(0.5));
  });
  CHECK(called.at("hmrnn::_clipped_adam_") == 1);
  CHECK(called.at("hmrnn::_average_") == 1);
  for (const auto& [name, times] : called) {
    INFO(name << " " << times);
    CHECK(times < static_cast<int>(model.parameters.size()));
    CHECK(name.find("norm") == std::string::npos);
    CHECK(name.find("lerp") == std::string::npos);
  }
}
