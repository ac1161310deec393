#include "hmrnn/analysis/cost.h"

#include "hmrnn/analysis/operations.h"

namespace hmrnn {

namespace {

template <class Options>
CostSizes sizes_of(const Options& options, int64_t input, int64_t classes) {
  return {input, options.hidden_sizes(), options.output_embedding_size(), classes};
}

ProductRows empty_rows(int64_t layers) {
  const std::vector<double> none(static_cast<size_t>(layers));
  return {none, none, none, none, 0};
}

void add(std::vector<double>& to, const std::vector<double>& more) {
  if (to.empty()) to.resize(more.size());
  TORCH_CHECK(to.size() == more.size(), "ProductRows: ", to.size(), " layers and ", more.size());
  for (size_t l = 0; l < to.size(); ++l) to[l] += more[l];
}

/// Rows of a computation without skipping, except V's.
ProductRows every_row(int64_t live, int64_t steps, int64_t layers, int64_t input_rows) {
  auto rows = empty_rows(layers);
  rows.recurrent.assign(rows.recurrent.size(), static_cast<double>(live));
  rows.bottom_up = rows.recurrent;
  rows.output.assign(rows.output.size(), static_cast<double>(steps));
  rows.bottom_up[0] = static_cast<double>(input_rows);
  rows.steps = static_cast<double>(steps);
  return rows;
}

double multiply_add(double rows, int64_t out, int64_t in) {
  return 2.0 * rows * static_cast<double>(out) * static_cast<double>(in);
}

/// FLOPs of the recurrent layers.
double core_flops(const ProductRows& rows, const CostSizes& sizes) {
  const auto layers = sizes.hidden.size();
  TORCH_CHECK(rows.recurrent.size() == layers, "cost: rows of ", rows.recurrent.size(), " layers, sizes of ", layers);
  double sum = 0;
  for (size_t l = 0; l < layers; ++l) {
    const auto d = sizes.hidden[l];
    sum += multiply_add(rows.recurrent[l], 4 * d, d);
    sum += multiply_add(rows.bottom_up[l], 4 * d, l == 0 ? sizes.input : sizes.hidden[l - 1]);
    if (l + 1 < layers) sum += multiply_add(rows.top_down[l], 4 * d, sizes.hidden[l + 1]);
  }
  return sum;
}

/// FLOPs of the output module's W^e h and gates, with the given number of rows per layer.
double embedding_flops(const std::vector<double>& rows, const CostSizes& sizes) {
  if (sizes.output_embedding == 0) return 0;
  const auto gates = static_cast<int64_t>(sizes.hidden.size());
  double sum = 0;
  for (size_t l = 0; l < sizes.hidden.size(); ++l)
    sum += multiply_add(rows[l], sizes.output_embedding + gates, sizes.hidden[l]);
  return sum;
}

/// FLOPs of the layer after the output module.
double classes_flops(double steps, const CostSizes& sizes) {
  return multiply_add(steps, sizes.classes, sizes.output_embedding);
}

}  // namespace

CostSizes cost_sizes(const CharLMOptions& options) {
  return sizes_of(options, options.embedding_size(), options.vocabulary_size());
}

CostSizes cost_sizes(const HandwritingOptions& options) { return sizes_of(options, 3, 6 * options.mixtures() + 1); }

ProductRows& ProductRows::operator+=(const ProductRows& other) {
  add(recurrent, other.recurrent);
  add(bottom_up, other.bottom_up);
  add(top_down, other.top_down);
  add(output, other.output);
  steps += other.steps;
  return *this;
}

ProductRows rows_made(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers, int64_t input_rows,
                      const torch::Tensor& lengths) {
  const torch::NoGradGuard no_grad;
  const auto operations = step_operations(z, z0, layers);
  const auto active_everywhere = operations.active();
  const auto T = z.size(0), B = z.size(1);
  auto rows = empty_rows(layers);
  rows.steps = static_cast<double>(T * B);
  if (T == 0) return rows;
  auto live = torch::ones({T, B}, active_everywhere.options());
  if (lengths.defined()) {
    live = torch::arange(T, z.options().dtype(torch::kInt64)).unsqueeze(1).lt(lengths.to(z.device()).unsqueeze(0));
  }
  const auto count = [](const torch::Tensor& where) { return where.sum(torch::kFloat64).item<double>(); };
  for (int64_t l = 0; l < layers; ++l) {
    const auto at = static_cast<size_t>(l);
    const auto active = active_everywhere.select(2, l).logical_and(live);
    rows.recurrent[at] = count(active);
    rows.bottom_up[at] =
        l == 0 ? static_cast<double>(input_rows) : count(operations.bottom_up.select(2, l).logical_and(live));
    rows.top_down[at] = count(operations.flush.select(2, l).logical_and(live));
    // At the first step of a window, each batch row counts as one state, even if the state is older than the window.
    rows.output[at] = static_cast<double>(B) + count(active.narrow(0, 1, T - 1));
  }
  return rows;
}

ProductRows rows_dense(int64_t live, int64_t steps, int64_t layers, int64_t input_rows) {
  auto rows = every_row(live, steps, layers, input_rows);
  for (int64_t l = 0; l + 1 < layers; ++l) rows.top_down[static_cast<size_t>(l)] = static_cast<double>(live);
  return rows;
}

ProductRows rows_lstm(int64_t live, int64_t steps, int64_t layers, int64_t input_rows) {
  return every_row(live, steps, layers, input_rows);
}

double forward_flops(const ProductRows& rows, const CostSizes& sizes) {
  return core_flops(rows, sizes) + embedding_flops(rows.output, sizes) + classes_flops(rows.steps, sizes);
}

double training_flops(const ProductRows& rows, const CostSizes& sizes) {
  const std::vector<double> every_step(sizes.hidden.size(), rows.steps);
  return 3 * core_flops(rows, sizes) + 2 * embedding_flops(rows.output, sizes) + embedding_flops(every_step, sizes) +
         3 * classes_flops(rows.steps, sizes);
}

CostCounter::CostCounter(CostSizes sizes, bool skips) : sizes_(std::move(sizes)), skips_(skips) {
  made_ = dense_ = lstm_ = empty_rows(static_cast<int64_t>(sizes_.hidden.size()));
}

void CostCounter::add(const torch::Tensor& z, const torch::Tensor& z0, int64_t input_rows,
                      const torch::Tensor& lengths) {
  const auto layers = static_cast<int64_t>(sizes_.hidden.size()), steps = z.size(0) * z.size(1);
  const auto live = lengths.defined() ? lengths.clamp_max(z.size(0)).sum().item<int64_t>() : steps;
  dense_ += rows_dense(live, steps, layers, input_rows);
  lstm_ += rows_lstm(live, steps, layers, input_rows);
  // Soft boundaries are computed by the reference, which has no table.
  made_ += skips_ ? rows_made(z, z0, layers, input_rows, lengths) : rows_dense(live, steps, layers, live);
}

}  // namespace hmrnn
