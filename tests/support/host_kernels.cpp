#include "support/host_kernels.h"

#include "hmrnn/ops/cuda/hm_lstm_step_backward.h"
#include "hmrnn/ops/cuda/hm_lstm_step_forward.h"

namespace hmrnn::test {

namespace {

template <class T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

}  // namespace

template <class T, class P>
void HostKernels<T, P>::boundary_products(const cuda::BoundaryProducts<T>& s) {
  ++launches;
  for (int64_t b = 0; b < s.batch; ++b) {
    team_.run([&](const HostBlock& block) {
      packs_&& s.wide ? cuda::boundary_products<kPack<T>>(block, b, s) : cuda::boundary_products<1>(block, b, s);
    });
  }
}

template <class T, class P>
template <class List, class F>
void HostKernels<T, P>::in_order(const List& list, F f) {
  for (size_t i = 0; i < list.size(); ++i) f(list[reversed_ ? list.size() - 1 - i : i]);
}

template <class T, class P>
void HostKernels<T, P>::step_forward(const std::vector<cuda::StepForward<T, P>>& steps) {
  ++launches;
  in_order(steps, [&](const cuda::StepForward<T, P>& s) {
    for (int64_t b = 0; b < s.batch; ++b) {
      team_.run([&](const HostBlock& block) {
        packs_&& s.wide ? cuda::step_forward<kPack<T>>(block, b, s) : cuda::step_forward<1>(block, b, s);
      });
    }
  });
}

template <class T, class P>
void HostKernels<T, P>::step_backward(const std::vector<cuda::StepBackward<T, P>>& steps) {
  ++launches;
  in_order(steps, [&](const cuda::StepBackward<T, P>& s) {
    for (int64_t b = 0; b < s.batch; ++b) {
      team_.run([&](const HostBlock& block) {
        packs_&& s.wide ? cuda::step_backward<kPack<T>>(block, b, s) : cuda::step_backward<1>(block, b, s);
      });
    }
  });
}

template <class T, class P>
void HostKernels<T, P>::side_by_side(const std::vector<std::function<void()>>& work) {
  in_order(work, [](const std::function<void()>& piece) { piece(); });
}

template <class T, class P>
template <class Q>
void HostKernels<T, P>::sum(const cuda::SumRows<T, Q>& s) {
  ++launches;
  const int64_t columns = team_.threads(), chunks = (s.width + columns - 1) / columns;
  for (int64_t v = 0; v < s.table; ++v) {
    for (int64_t segment = 0; segment < s.segments; ++segment) {
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        team_.run([&](const HostBlock& block) { cuda::sum_rows<1>(block, v, segment, chunk, s); });
      }
    }
  }
}

template <class T, class P>
void HostKernels<T, P>::sum_rows(const cuda::SumRows<T, P>& s) {
  sum(s);
}
template <class T, class P>
void HostKernels<T, P>::sum_scalars(const cuda::SumRows<T, T>& s) {
  sum(s);
}

template <class T, class P>
void HostGatedOutputKernels<T, P>::gated_sum(const cuda::GatedSum<T>& s) {
  for (int64_t i = 0; i < s.n; ++i) {
    team_.run([&](const HostBlock& block) {
      packs_&& s.wide ? cuda::gated_sum<kPack<T>>(block, i, s) : cuda::gated_sum<1>(block, i, s);
    });
  }
}

template <class T, class P>
void HostGatedOutputKernels<T, P>::gated_sum_backward(const cuda::GatedSumBackward<T, P>& s) {
  for (int64_t i = 0; i < s.n; ++i) {
    team_.run([&](const HostBlock& block) {
      packs_&& s.wide ? cuda::gated_sum_backward<kPack<T>>(block, i, s) : cuda::gated_sum_backward<1>(block, i, s);
    });
  }
}

template class HostGatedOutputKernels<float, float>;
template class HostGatedOutputKernels<double, double>;
template class HostGatedOutputKernels<float, c10::BFloat16>;
template class HostKernels<float, float>;
template class HostKernels<double, double>;
template class HostKernels<float, c10::BFloat16>;

}  // namespace hmrnn::test
