#include "hmrnn/nn/hm_lstm_stream.h"

#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/nn/window_checks.h"
#include "hmrnn/ops/cpu/hm_lstm_stream.h"

namespace hmrnn {

/// Either the CPU's stream or, where that is not available (another device, soft boundaries), the state between windows
/// of one step.
struct HMLSTMStream::Data {
  std::unique_ptr<cpu::HMLSTMStream> fast;
  HMLSTMState window;
  int64_t layers = 0;
  int64_t input_size = 0;
  int64_t batch = 1;
  bool batched = false;
  std::vector<torch::Tensor> parameters;  ///< detached; identify the module and its parameters, see same_parameters
  const void* module = nullptr;           ///< address of the module that made the stream
  std::vector<torch::Tensor> fast_h;      ///< views of fast->h, as HMLSTMStream::h returns them
  torch::Tensor fast_z;

  /// x [B, …] without its batch dimension if the stream is not batched
  torch::Tensor shown(const torch::Tensor& x) const { return batched ? x : x[0]; }
  void set_fast(std::unique_ptr<cpu::HMLSTMStream> stream) {
    fast = std::move(stream);
    for (const auto& x : fast->h) fast_h.push_back(shown(x));
    fast_z = shown(fast->z);
  }
  /// Shape of a step's tensor with `size` values per row: [size], batched [B, size]
  std::vector<int64_t> shape(int64_t size) const {
    return batched ? std::vector<int64_t>{batch, size} : std::vector<int64_t>{size};
  }
  bool same_parameters(const Data& other) const {
    bool same = parameters.size() == other.parameters.size() && layers == other.layers;
    for (size_t i = 0; same && i < parameters.size(); ++i) {
      const auto &a = parameters[i], &b = other.parameters[i];
      same = a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && a.const_data_ptr() == b.const_data_ptr();
    }
    return same && (fast == nullptr) == (other.fast == nullptr);
  }
};

/// A row of a stream.
struct HMLSTMStream::Source {
  const Data* data;
  int64_t row;
};

HMLSTMStream::HMLSTMStream(std::unique_ptr<Data> data) : data_(std::move(data)) {}
HMLSTMStream::HMLSTMStream(HMLSTMStream&&) noexcept = default;
HMLSTMStream& HMLSTMStream::operator=(HMLSTMStream&&) noexcept = default;
HMLSTMStream::~HMLSTMStream() = default;

const HMLSTMStream::Data& HMLSTMStream::data(const char* function) const {
  TORCH_CHECK(data_ != nullptr, "HMLSTMStream::", function, ": the stream was moved from");
  return *data_;
}

namespace {

void check_layer(int64_t layer, int64_t layers) {
  TORCH_CHECK(layer >= 0 && layer < layers, "HMLSTMStream: layer must be in [0, ", layers, "), got ", layer);
}

void check_row(int64_t row, int64_t batch) {
  TORCH_CHECK(row >= 0 && row < batch, "HMLSTMStream: row must be in [0, ", batch, "), got ", row);
}

}  // namespace

bool HMLSTMStream::batched() const { return data("batched").batched; }

int64_t HMLSTMStream::batch() const { return data("batch").batch; }

torch::Tensor HMLSTMStream::h(int64_t layer) const {
  const auto& of = data("h");
  check_layer(layer, of.layers);
  return of.fast ? of.fast_h[layer] : of.shown(of.window.h[layer]);
}

torch::Tensor HMLSTMStream::z() const {
  const auto& of = data("z");
  return of.fast ? of.fast_z : of.shown(of.window.z);
}

bool HMLSTMStream::changed(int64_t layer, int64_t row) const {
  const auto& of = data("changed");
  check_layer(layer, of.layers);
  check_row(row, of.batch);
  return !of.fast || of.fast->changed[layer * of.batch + row] != 0;
}

HMLSTMState HMLSTMStream::state() const {
  const auto& of = data("state");
  if (!of.fast) return of.window;
  HMLSTMState out;
  for (const auto& x : of.fast->h) out.h.push_back(x.clone());
  for (const auto& x : of.fast->c) out.c.push_back(x.clone());
  out.z = of.fast->z.clone();
  return out;
}

HMLSTMStream HMLSTMStream::gather(const std::vector<Source>& rows, bool batched) {
  const torch::NoGradGuard no_grad;
  TORCH_CHECK(!rows.empty(), "HMLSTMStream: no rows to join");
  const auto& first = *rows[0].data;
  auto out = std::make_unique<Data>();
  out->layers = first.layers;
  out->input_size = first.input_size;
  out->batch = static_cast<int64_t>(rows.size());
  out->batched = batched;
  out->parameters = first.parameters;
  out->module = first.module;
  if (first.fast) {
    std::vector<cpu::HMLSTMStream::Row> of;
    for (const auto& row : rows) of.emplace_back(row.data->fast.get(), row.row);
    out->set_fast(first.fast->gather(of));
    return HMLSTMStream(std::move(out));
  }
  std::vector<HMLSTMState> states;
  for (const auto& row : rows) states.push_back(row.data->window.select_rows({row.row}));
  out->window = HMLSTMState::join(states);
  return HMLSTMStream(std::move(out));
}

HMLSTMStream HMLSTMStream::join(const std::vector<const HMLSTMStream*>& streams) {
  std::vector<Source> rows;
  for (size_t i = 0; i < streams.size(); ++i) {
    TORCH_CHECK(streams[i] != nullptr, "HMLSTMStream::join: stream ", i, " is null");
    const auto& data = streams[i]->data("join");
    TORCH_CHECK(rows.empty() || data.same_parameters(*rows[0].data), "HMLSTMStream::join: stream ", i,
                " was made by another module than stream 0, or with other parameters of it");
    for (int64_t row = 0; row < data.batch; ++row) rows.push_back({&data, row});
  }
  return gather(rows, /*batched=*/true);
}

HMLSTMStream HMLSTMStream::select(int64_t row) const {
  const auto& of = data("select");
  check_row(row, of.batch);
  return gather({{&of, row}}, /*batched=*/false);
}

HMLSTMStream HMLSTMStream::select_rows(const std::vector<int64_t>& rows) const {
  const auto& of = data("select_rows");
  std::vector<Source> sources;
  for (const auto row : rows) {
    check_row(row, of.batch);
    sources.push_back({&of, row});
  }
  return gather(sources, /*batched=*/true);
}

std::vector<HMLSTMStream> HMLSTMStream::split() const {
  std::vector<HMLSTMStream> out;
  for (int64_t row = 0; row < batch(); ++row) out.push_back(select(row));
  return out;
}

HMLSTMStream HMLSTMImpl::stream(const std::optional<HMLSTMState>& state) const {
  return make_stream("HMLSTM::stream", state && state->defined() ? *state : initial_state(1), /*batched=*/false);
}

HMLSTMStream HMLSTMImpl::streams(int64_t batch) const {
  TORCH_CHECK(batch >= 1, "HMLSTM::streams: batch must be at least 1, got ", batch);
  return streams(initial_state(batch));
}

HMLSTMStream HMLSTMImpl::streams(const HMLSTMState& state) const {
  TORCH_CHECK(state.defined(), "HMLSTM::streams: the state has no tensors");
  return make_stream("HMLSTM::streams", state, /*batched=*/true);
}

HMLSTMStream HMLSTMImpl::make_stream(const char* function, const HMLSTMState& state, bool batched) const {
  const torch::NoGradGuard no_grad;
  const auto start = state.detach();
  const auto& like = layers->ptr(0)->as<HMLSTMCell>()->bias;
  const auto batch = batched ? start.batch() : 1;
  // The same checks as in forward, for a window of one step.
  const auto step = torch::zeros({1, batch, options.input_size()}, like.options());
  check_window(function, sequence_window(function, step, options.input_size()), start, {}, options.hidden_sizes(),
               num_layers() - 1, like);
  auto data = std::make_unique<HMLSTMStream::Data>();
  data->layers = num_layers();
  data->input_size = options.input_size();
  data->batch = batch;
  data->batched = batched;
  for (const auto& parameter : parameters()) data->parameters.push_back(parameter.detach());
  data->module = this;
  if (like.is_cpu() && options.boundary() != BoundaryMode::Soft) {
    WindowInput window;
    window.h0 = start.h;
    window.c0 = start.c;
    window.z0 = start.z;
    BoundaryRule rule;
    rule.mode = BoundaryMode::Step;  // Bernoulli boundaries: each step passes its noise
    rule.slope = slope_;
    data->set_fast(cpu::make_stream({layer_parameters(), window, rule, {}, std::nullopt, options.eps()}));
  } else {
    data->window = start;
  }
  return HMLSTMStream(std::move(data));
}

void HMLSTMImpl::step(const torch::Tensor& input, HMLSTMStream& stream, const HMLSTMStepCall& call) const {
  advance(input, nullptr, stream, call);
}

void HMLSTMImpl::step_indexed(const torch::Tensor& table, int64_t index, HMLSTMStream& stream,
                              const HMLSTMStepCall& call) const {
  check_table(table);
  TORCH_CHECK(index >= 0 && index < table.size(0), "HMLSTM::step_indexed: index must be in [0, ", table.size(0),
              "), got ", index);
  TORCH_CHECK(!stream.batched(), "HMLSTM::step_indexed: a batched stream takes an index for each of its rows");
  advance(table[index], &index, stream, call);
}

void HMLSTMImpl::step_indexed(const torch::Tensor& table, const torch::Tensor& index, HMLSTMStream& stream,
                              const HMLSTMStepCall& call) const {
  check_table(table);
  TORCH_CHECK(
      stream.batched() && index.scalar_type() == torch::kInt64 && index.dim() == 1 && index.size(0) == stream.batch(),
      "HMLSTM::step_indexed: index must be int64 [", stream.batch(), "] for a batched stream, got ",
      index.scalar_type(), " ", index.sizes(), stream.batched() ? "" : ", and the stream is not batched");
  const auto rows = index.cpu().contiguous();
  for (int64_t b = 0; b < rows.size(0); ++b) {
    const auto row = rows.const_data_ptr<int64_t>()[b];
    TORCH_CHECK(row >= 0 && row < table.size(0), "HMLSTM::step_indexed: index must be in [0, ", table.size(0),
                "), got ", row);
  }
  const torch::NoGradGuard no_grad;
  advance(table.index_select(0, rows.to(table.device())), rows.const_data_ptr<int64_t>(), stream, call);
}

void HMLSTMImpl::check_table(const torch::Tensor& table) const {
  TORCH_CHECK(table.dim() == 2 && table.size(1) == options.input_size(), "HMLSTM::step_indexed: table must have shape ",
              "[V, ", options.input_size(), "], got ", table.sizes());
}

void HMLSTMImpl::advance(const torch::Tensor& input, const int64_t* rows, HMLSTMStream& stream,
                         const HMLSTMStepCall& call) const {
  const torch::NoGradGuard no_grad;
  TORCH_CHECK(stream.data_ != nullptr && stream.data_->layers == num_layers() &&
                  stream.data_->input_size == options.input_size(),
              "HMLSTM::step: the stream was made by a module of other sizes");
  TORCH_CHECK(stream.data_->module == this, "HMLSTM::step: the stream was made by another module");
  auto& data = *stream.data_;
  const auto& like = data.fast ? data.fast->h[0] : data.window.h[0];
  const auto check = [&](const char* name, const torch::Tensor& x, int64_t size) {
    TORCH_CHECK(x.scalar_type() == like.scalar_type() && x.device() == like.device(), "HMLSTM::step: ", name,
                " must be ", like.scalar_type(), " on ", like.device(), ", got ", x.scalar_type(), " on ", x.device());
    const bool fits =
        x.dim() == (data.batched ? 2 : 1) && x.size(-1) == size && (!data.batched || x.size(0) == data.batch);
    TORCH_CHECK(fits, "HMLSTM::step: ", name, " must have shape ", c10::IntArrayRef(data.shape(size)), ", got ",
                x.sizes());
  };
  check("input", input, options.input_size());
  for (const auto& [name, x] : {std::pair("boundaries", call.boundaries), std::pair("noise", call.noise)}) {
    if (x.defined()) check(name, x, num_layers() - 1);
  }
  torch::Tensor noise;  // only Bernoulli boundaries read it, as in forward
  if (options.boundary() == BoundaryMode::Bernoulli && !call.boundaries.defined()) {
    noise = call.noise.defined() ? call.noise : torch::rand(data.shape(num_layers() - 1), like.options());
  }
  if (data.fast) {
    const auto x = input.contiguous();
    const auto given = call.boundaries.defined() ? call.boundaries.contiguous() : torch::Tensor();
    noise = noise.defined() ? noise.contiguous() : noise;
    data.fast->step(x.const_data_ptr(), rows, given.defined() ? given.const_data_ptr() : nullptr,
                    noise.defined() ? noise.const_data_ptr() : nullptr);
    return;
  }
  HMLSTMCall window;
  const auto row = [&](const torch::Tensor& x, int64_t size) { return x.reshape({1, data.batch, size}); };
  if (call.boundaries.defined()) window.boundaries = row(call.boundaries, num_layers() - 1);
  if (noise.defined()) window.noise = row(noise, num_layers() - 1);
  data.window = run(sequence_window("HMLSTM::step", row(input, options.input_size()), options.input_size()),
                    data.window, window, /*training=*/false)
                    .state;
}

}  // namespace hmrnn
