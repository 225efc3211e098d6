// Output relations on a CPU: at each position, which extra row's product is added to which logit (see relations.py of the model).
//
//   direct slots:      out[column + i] += rows[first_row + direct[offset + i]]
//   difference slots:  out[column + i] += rows[first_row + clip(i - bases[base], -reach, reach) + reach], or rows[first_row + 2 reach + 1]
//                      where bases[base] is -1
//
// for 0 <= i < width. rows (positions, n_rows) float32; direct (positions, n_direct) uint8; bases (positions, n_bases) int16; a slot is a row of
// int64: direct (column, width, first_row, offset), difference (column, width, first_row, reach, base).
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>

namespace {

struct Inputs {
  const uint8_t* direct;
  const int16_t* bases;
  const int64_t *direct_slots, *difference_slots;
  int64_t n_direct, n_bases, n_direct_slots, n_difference_slots;
};

Inputs inputs_of(const at::Tensor& direct, const at::Tensor& bases, const at::Tensor& direct_slots, const at::Tensor& difference_slots) {
  TORCH_CHECK(direct.is_contiguous() && bases.is_contiguous() && direct_slots.is_contiguous() && difference_slots.is_contiguous(), "contiguous");
  return {direct.data_ptr<uint8_t>(), bases.data_ptr<int16_t>(), direct_slots.data_ptr<int64_t>(), difference_slots.data_ptr<int64_t>(),
          direct.size(1), bases.size(1), direct_slots.size(0), difference_slots.size(0)};
}

// Calls use(logit, row) for each pair of one position.
template <typename Use>
void for_each(const Inputs& x, int64_t position, const Use& use) {
  for (int64_t k = 0; k < x.n_direct_slots; k++) {
    const int64_t* slot = x.direct_slots + 4 * k;
    const uint8_t* index = x.direct + position * x.n_direct + slot[3];
    for (int64_t i = 0; i < slot[1]; i++) use(slot[0] + i, slot[2] + index[i]);
  }
  for (int64_t k = 0; k < x.n_difference_slots; k++) {
    const int64_t* slot = x.difference_slots + 5 * k;
    const int64_t base = x.bases[position * x.n_bases + slot[4]], reach = slot[3];
    for (int64_t i = 0; i < slot[1]; i++)
      use(slot[0] + i, slot[2] + (base < 0 ? 2 * reach + 1 : std::clamp(i - base, -reach, reach) + reach));
  }
}

at::Tensor relate(const at::Tensor& rows, const at::Tensor& direct, const at::Tensor& bases, const at::Tensor& direct_slots,
                  const at::Tensor& difference_slots, int64_t n_logits) {
  TORCH_CHECK(rows.is_contiguous() && rows.scalar_type() == at::kFloat, "rows");
  const Inputs x = inputs_of(direct, bases, direct_slots, difference_slots);
  at::Tensor out = at::zeros({rows.size(0), n_logits}, rows.options());
  at::parallel_for(0, rows.size(0), 64, [&](int64_t begin, int64_t end) {
    for (int64_t position = begin; position < end; position++) {
      const float* from = rows.data_ptr<float>() + position * rows.size(1);
      float* to = out.data_ptr<float>() + position * n_logits;
      for_each(x, position, [&](int64_t logit, int64_t row) { to[logit] += from[row]; });
    }
  });
  return out;
}

at::Tensor relate_backward(const at::Tensor& gradient, const at::Tensor& direct, const at::Tensor& bases, const at::Tensor& direct_slots,
                           const at::Tensor& difference_slots, int64_t n_rows) {
  TORCH_CHECK(gradient.is_contiguous() && gradient.scalar_type() == at::kFloat, "gradient");
  const Inputs x = inputs_of(direct, bases, direct_slots, difference_slots);
  at::Tensor d_rows = at::zeros({gradient.size(0), n_rows}, gradient.options());
  at::parallel_for(0, gradient.size(0), 64, [&](int64_t begin, int64_t end) {
    for (int64_t position = begin; position < end; position++) {
      const float* from = gradient.data_ptr<float>() + position * gradient.size(1);
      float* to = d_rows.data_ptr<float>() + position * n_rows;
      for_each(x, position, [&](int64_t logit, int64_t row) { to[row] += from[logit]; });
    }
  });
  return d_rows;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preludio, m) {
  m.def("relate(Tensor rows, Tensor direct, Tensor bases, Tensor direct_slots, Tensor difference_slots, int n_logits) -> Tensor");
  m.def("relate_backward(Tensor gradient, Tensor direct, Tensor bases, Tensor direct_slots, Tensor difference_slots, int n_rows) -> Tensor");
}

TORCH_LIBRARY_IMPL(preludio, CPU, m) {
  m.impl("relate", &relate);
  m.impl("relate_backward", &relate_backward);
}
