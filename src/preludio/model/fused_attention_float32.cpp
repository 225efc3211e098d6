// Relative global attention on a CPU in float32, forward and backward, one (sequence, head) pair at a time and 64 queries at a time: the
// counterpart of fused_attention.cpp for processors without bfloat16 products. The matrix products are the BLAS library's. Only the logarithm of
// each row's sum is kept for the backward pass, which computes the weights again (Dao et al. 2022, section 3.1).
//
// Shapes: qkv (batch, time, 3, head, d), relative (groups, time, d) with row i for distance i and groups 1 or head.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <cmath>
#include <cstring>
#include <tuple>
#include <vector>

#include "fused_attention.hpp"

extern "C" void sgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k, const float* alpha, const float* a,
                       const int* ld_a, const float* b, const int* ld_b, const float* beta, float* c, const int* ld_c);  // PyTorch's own BLAS

namespace {

// Column-major C (m x n) = beta C + op(A) op(B).
void gemm(char trans_a, char trans_b, int m, int n, int k, const float* a, int ld_a, const float* b, int ld_b, float beta, float* c, int ld_c) {
  const float alpha = 1;
  sgemm_(&trans_a, &trans_b, &m, &n, &k, &alpha, a, &ld_a, b, &ld_b, &beta, c, &ld_c);
}

// Row-major C (rows x columns) = beta C + A (rows x inner) B', B (columns x inner).
void product_transposed(int64_t rows, int64_t columns, int64_t inner, const float* a, int64_t ld_a, const float* b, int64_t ld_b, float beta,
                        float* c, int64_t ld_c) {
  gemm('T', 'N', columns, rows, inner, b, ld_b, a, ld_a, beta, c, ld_c);
}

// Row-major C (rows x columns) = beta C + A (rows x inner) B (inner x columns).
void product(int64_t rows, int64_t columns, int64_t inner, const float* a, int64_t ld_a, const float* b, int64_t ld_b, float beta, float* c,
             int64_t ld_c) {
  gemm('N', 'N', columns, rows, inner, b, ld_b, a, ld_a, beta, c, ld_c);
}

// Row-major C (rows x columns) = beta C + A' B, A (inner x rows), B (inner x columns).
void product_of_transposed(int64_t rows, int64_t columns, int64_t inner, const float* a, int64_t ld_a, const float* b, int64_t ld_b, float beta,
                           float* c, int64_t ld_c) {
  gemm('N', 'T', columns, rows, inner, b, ld_b, a, ld_a, beta, c, ld_c);
}

Shape shape_of(const at::Tensor& qkv, const at::Tensor& relative) {
  Shape s{qkv.size(0), qkv.size(1), qkv.size(3), qkv.size(4), relative.size(0)};
  TORCH_CHECK(qkv.scalar_type() == at::kFloat && qkv.is_contiguous() && qkv.dim() == 5 && qkv.size(2) == 3, "qkv");
  TORCH_CHECK(relative.scalar_type() == at::kFloat && relative.is_contiguous() && relative.dim() == 3, "relative");
  TORCH_CHECK(s.time % kQueries == 0 && relative.size(1) == s.time && relative.size(2) == s.d, "shapes");
  TORCH_CHECK(s.groups == 1 || s.groups == s.heads, "groups");
  return s;
}

// (groups, width, d): the table farthest first, then zeros.
at::Tensor farthest_first(const at::Tensor& relative, const Shape& s) {
  at::Tensor table = at::zeros({s.groups, s.width(), s.d}, relative.options());
  table.narrow(1, 0, s.time).copy_(relative.flip(1));
  return table;
}

struct Scratch {
  std::vector<float> scores, by_distance, d_weights;
  explicit Scratch(const Shape& s) : scores(kQueries * s.time), by_distance(kQueries * s.width()), d_weights(kQueries * s.time) {}
};

// scores[r][j] for j <= start + r: scale * q_r . (k_j + e_distance); what lies behind is not defined.
void score(const Shape& s, const float* q, const float* k, const float* table, Scratch& x, int64_t start) {
  const int64_t m = start + kQueries, w = m + kQueries;
  product_transposed(kQueries, m, s.d, q, s.row(), k, s.row(), 0, x.scores.data(), m);
  product_transposed(kQueries, w, s.d, q, s.row(), table + (s.time - m) * s.d, s.d, 0, x.by_distance.data(), w);
  const float scale = s.scale();
  for (int64_t r = 0; r < kQueries; r++) {
    float* to = x.scores.data() + r * m;
    const float* from = x.by_distance.data() + r * w + kQueries - 1 - r;
#pragma omp simd
    for (int64_t j = 0; j <= start + r; j++) to[j] = (to[j] + from[j]) * scale;
  }
}

void attend(const Shape& s, const float* qkv, const float* table, Scratch& x, float* out, float* lse) {
  const int64_t hd = s.heads * s.d;
  for (int64_t start = 0; start < s.time; start += kQueries) {
    const int64_t m = start + kQueries;
    score(s, qkv + start * s.row(), qkv + hd, table, x, start);
    float sums[kQueries];
    for (int64_t r = 0; r < kQueries; r++) {
      const int64_t seen = start + r + 1;
      float* a = x.scores.data() + r * m;
      float highest = a[0], sum = 0;
#pragma omp simd reduction(max : highest)
      for (int64_t j = 0; j < seen; j++) highest = a[j] > highest ? a[j] : highest;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < seen; j++) {
        a[j] = exp_below_zero(a[j] - highest);
        sum += a[j];
      }
      std::memset(a + seen, 0, sizeof(float) * (m - seen));
      sums[r] = 1 / sum;
      lse[start + r] = highest + std::log(sum);
    }
    product(kQueries, s.d, m, x.scores.data(), m, qkv + 2 * hd, s.row(), 0, out + start * hd, hd);
    for (int64_t r = 0; r < kQueries; r++)
      for (int64_t c = 0; c < s.d; c++) out[(start + r) * hd + c] *= sums[r];
  }
}

// scores become the weights P, d_weights the scores' gradient dA, by_distance the same by distance.
void weigh_again(const Shape& s, Scratch& b, const float* grad, const float* out, const float* lse, int64_t start) {
  const int64_t m = start + kQueries, w = m + kQueries, hd = s.heads * s.d;
  const float scale = s.scale();
  std::memset(b.by_distance.data(), 0, sizeof(float) * kQueries * w);
  for (int64_t r = 0; r < kQueries; r++) {
    const int64_t seen = start + r + 1;
    const float *g = grad + (start + r) * hd, *o = out + (start + r) * hd;
    float delta = 0;
#pragma omp simd reduction(+ : delta)
    for (int64_t c = 0; c < s.d; c++) delta += g[c] * o[c];
    float *p = b.scores.data() + r * m, *ds = b.d_weights.data() + r * m;
    const float whole = lse[start + r];
#pragma omp simd
    for (int64_t j = 0; j < seen; j++) {
      p[j] = exp_below_zero(std::min(p[j] - whole, 0.0f));
      ds[j] = p[j] * (ds[j] - delta) * scale;
    }
    std::memset(p + seen, 0, sizeof(float) * (m - seen));
    std::memset(ds + seen, 0, sizeof(float) * (m - seen));
    std::memcpy(b.by_distance.data() + r * w + kQueries - 1 - r, ds, sizeof(float) * seen);
  }
}

// d_qkv of one pair, whose keys' and values' parts are zero at first; d_table (width x d, farthest first) is added to.
void attend_backward(const Shape& s, const float* qkv, const float* out, const float* grad, const float* lse, const float* table, Scratch& b,
                     float* d_qkv, float* d_table) {
  const int64_t row = s.row(), hd = s.heads * s.d;
  for (int64_t start = 0; start < s.time; start += kQueries) {
    const int64_t m = start + kQueries, w = m + kQueries;
    const float *q = qkv + start * row, *g = grad + start * hd, *from = table + (s.time - m) * s.d;
    score(s, q, qkv + hd, table, b, start);
    product_transposed(kQueries, m, s.d, g, hd, qkv + 2 * hd, row, 0, b.d_weights.data(), m);
    weigh_again(s, b, grad, out, lse, start);
    product_of_transposed(m, s.d, kQueries, b.scores.data(), m, g, hd, 1, d_qkv + 2 * hd, row);
    product_of_transposed(m, s.d, kQueries, b.d_weights.data(), m, q, row, 1, d_qkv + hd, row);
    product_of_transposed(w, s.d, kQueries, b.by_distance.data(), w, q, row, 1, d_table + (s.time - m) * s.d, s.d);
    product(kQueries, s.d, m, b.d_weights.data(), m, qkv + hd, row, 0, d_qkv + start * row, row);
    product(kQueries, s.d, w, b.by_distance.data(), w, from, s.d, 1, d_qkv + start * row, row);
  }
}

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& qkv, const at::Tensor& relative) {
  const Shape s = shape_of(qkv, relative);
  at::Tensor out = at::empty({s.batch, s.time, s.heads * s.d}, qkv.options()), lse = at::empty({s.batch, s.heads, s.time}, qkv.options());
  const at::Tensor tables = farthest_first(relative, s);
  at::parallel_for(0, s.batch * s.heads, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(s);
    for (int64_t pair = begin; pair < end; pair++) {
      const int64_t b = pair / s.heads, h = pair % s.heads;
      attend(s, qkv.data_ptr<float>() + b * s.time * s.row() + h * s.d, tables.data_ptr<float>() + (h % s.groups) * s.width() * s.d, scratch,
             out.data_ptr<float>() + b * s.time * s.heads * s.d + h * s.d, lse.data_ptr<float>() + pair * s.time);
    }
  });
  return {out, lse};
}

std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad, const at::Tensor& qkv, const at::Tensor& relative, const at::Tensor& out,
                                            const at::Tensor& lse) {
  const Shape s = shape_of(qkv, relative);
  TORCH_CHECK(grad.is_contiguous() && grad.scalar_type() == at::kFloat && grad.sizes() == out.sizes(), "grad");
  const int64_t threads = at::get_num_threads(), pairs = s.batch * s.heads, share = (pairs + threads - 1) / threads;
  at::Tensor d_qkv = at::zeros_like(qkv), d_tables = at::zeros({threads, s.groups, s.width(), s.d}, qkv.options());
  const at::Tensor tables = farthest_first(relative, s);
  at::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
    Scratch scratch(s);
    for (int64_t part = first; part < last; part++)  // fixed shares: the same sums in the same order each time
      for (int64_t pair = part * share; pair < std::min(pairs, (part + 1) * share); pair++) {
        const int64_t b = pair / s.heads, h = pair % s.heads, g = h % s.groups;
        const int64_t at_qkv = b * s.time * s.row() + h * s.d, at_out = b * s.time * s.heads * s.d + h * s.d;
        attend_backward(s, qkv.data_ptr<float>() + at_qkv, out.data_ptr<float>() + at_out, grad.data_ptr<float>() + at_out,
                        lse.data_ptr<float>() + pair * s.time, tables.data_ptr<float>() + g * s.width() * s.d, scratch,
                        d_qkv.data_ptr<float>() + at_qkv, d_tables.data_ptr<float>() + (part * s.groups + g) * s.width() * s.d);
      }
  });
  return {d_qkv, d_tables.sum(0).narrow(1, 0, s.time).flip(1)};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preludio, m) {
  m.def("attend_float32(Tensor qkv, Tensor relative) -> (Tensor, Tensor)");
  m.def("attend_float32_backward(Tensor gradient, Tensor qkv, Tensor relative, Tensor mixed, Tensor log_sums) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(preludio, CPU, m) {
  m.impl("attend_float32", &forward);
  m.impl("attend_float32_backward", &backward);
}
