// Relative global attention on a CPU in bfloat16, forward and backward, one (sequence, head) pair at a time and 64 queries at a time.
//
// The matrix products go to oneDNN's small-matrix kernels through PyTorch (AMX or AVX-512 where the processor has them). Everything between
// two products stays in the core's own cache. Only the logarithm of each row's sum is kept for the backward pass, which makes the
// weights again (Dao et al. 2022, section 3.1). The sums are the same as in attention.py, rounded at other places.
//
// Shapes: qkv (batch, time, 3, head, d), relative (groups, time, d) with row i for distance i and groups 1 or head; time a multiple of 64.
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <torch/library.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <vector>

#include "fused_attention.hpp"

namespace {

using at::BFloat16;
using Half16 = uint16_t;  // the bits of a bfloat16

inline float widened(Half16 x) {
  uint32_t bits = uint32_t(x) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

inline Half16 rounded(float f) {  // to nearest, ties to even; no NaN arrives here
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return Half16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// C (rows x columns) = or += A (rows x inner) B, with B in pairs of rows: B[k / 2][column][k % 2].
void product(int64_t rows, int64_t columns, int64_t inner, const Half16* a, int64_t ld_a, const Half16* b, int64_t ld_b, float* c,
             int64_t ld_c, bool add) {
  constexpr int64_t kColumns = 256;
  for (int64_t j = 0; j < columns; j += kColumns) {
    at::native::cpublas::brgemm(rows, std::min(kColumns, columns - j), inner, ld_a, ld_b, ld_c, add, (const BFloat16*)a,
                                (const BFloat16*)(b + 2 * j), c + j, true);
  }
}

// (rows x columns) -> pairs of rows.
void pair_rows(const Half16* in, int64_t ld, int64_t rows, int64_t columns, Half16* out) {
  for (int64_t r = 0; r < rows; r += 2)
    for (int64_t c = 0; c < columns; c++) {
      out[r * columns + 2 * c] = in[r * ld + c];
      out[r * columns + 2 * c + 1] = in[(r + 1) * ld + c];
    }
}

// (rows x columns) -> its transpose in pairs of rows: 32-bit words change places.
void pair_columns(const Half16* in, int64_t ld, int64_t rows, int64_t columns, Half16* out, int64_t ld_out) {
  constexpr int64_t kTile = 16;
  uint32_t tile[kTile][kTile];
  for (int64_t r = 0; r < rows; r += kTile)
    for (int64_t p = 0; p < columns / 2; p += kTile) {
      for (int64_t i = 0; i < kTile; i++) std::memcpy(tile[i], in + (r + i) * ld + 2 * p, sizeof tile[i]);
      for (int64_t c = 0; c < kTile; c++) {
        uint32_t column[kTile];
        for (int64_t i = 0; i < kTile; i++) column[i] = tile[i][c];
        std::memcpy(out + 2 * ((p + c) * ld_out + r), column, sizeof column);
      }
    }
}

void transpose(const Half16* in, int64_t ld, int64_t rows, int64_t columns, Half16* out) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) out[c * rows + r] = in[r * ld + c];
}

Shape shape_of(const at::Tensor& qkv, const at::Tensor& relative) {
  Shape s{qkv.size(0), qkv.size(1), qkv.size(3), qkv.size(4), relative.size(0)};
  TORCH_CHECK(qkv.scalar_type() == at::kBFloat16 && qkv.is_contiguous() && qkv.dim() == 5 && qkv.size(2) == 3, "qkv");
  TORCH_CHECK(relative.scalar_type() == at::kBFloat16 && relative.is_contiguous() && relative.dim() == 3, "relative");
  TORCH_CHECK(s.time % kQueries == 0 && s.d % 32 == 0 && relative.size(1) == s.time && relative.size(2) == s.d, "shapes");
  TORCH_CHECK(s.groups == 1 || s.groups == s.heads, "groups");
  return s;
}

// The table farthest first, as both kinds of right-hand side: (d x width) and (width x d), in pairs of rows.
struct Table {
  std::vector<Half16> by_d, by_distance;
  Table(const Half16* relative, const Shape& s) : by_d(s.d * s.width()), by_distance(s.d * s.width()) {
    std::vector<Half16> farthest_first(s.width() * s.d, 0);
    for (int64_t i = 0; i < s.time; i++) std::memcpy(&farthest_first[(s.time - 1 - i) * s.d], relative + i * s.d, 2 * s.d);
    pair_columns(farthest_first.data(), s.d, s.width(), s.d, by_d.data(), s.width());
    pair_rows(farthest_first.data(), s.d, s.width(), s.d, by_distance.data());
  }
};

std::vector<Table> tables_of(const at::Tensor& relative, const Shape& s) {
  std::vector<Table> tables;
  for (int64_t g = 0; g < s.groups; g++) tables.emplace_back((const Half16*)relative.data_ptr() + g * s.time * s.d, s);
  return tables;
}

// What one thread needs for 64 queries against all keys before them.
struct Scratch {
  std::vector<float> scores, by_distance, mixed;
  std::vector<Half16> keys_by_d, weights;
  explicit Scratch(const Shape& s)
      : scores(kQueries * s.time), by_distance(kQueries * s.width()), mixed(kQueries * s.d), keys_by_d(s.d * s.time), weights(kQueries * s.time) {}
};

// scores[r][j] for j <= start + r: scale * q_r . (k_j + e_distance); what lies behind is not defined.
void score(const Shape& s, const Half16* q, const Table& table, Scratch& x, int64_t start) {
  const int64_t m = start + kQueries, w = m + kQueries;
  product(kQueries, m, s.d, q, s.row(), x.keys_by_d.data(), s.time, x.scores.data(), m, false);
  product(kQueries, w, s.d, q, s.row(), table.by_d.data() + 2 * (s.time - m), s.width(), x.by_distance.data(), w, false);
  const float scale = s.scale();
  for (int64_t r = 0; r < kQueries; r++) {
    float* to = x.scores.data() + r * m;
    const float* from = x.by_distance.data() + r * w + kQueries - 1 - r;
#pragma omp simd
    for (int64_t j = 0; j < m; j++) to[j] = (to[j] + from[j]) * scale;
  }
}

void attend(const Shape& s, const Half16* qkv, const Table& table, Scratch& x, std::vector<Half16>& values, Half16* out, float* lse) {
  const int64_t row = s.row(), hd = s.heads * s.d;
  pair_columns(qkv + hd, row, s.time, s.d, x.keys_by_d.data(), s.time);
  pair_rows(qkv + 2 * hd, row, s.time, s.d, values.data());
  for (int64_t start = 0; start < s.time; start += kQueries) {
    const int64_t m = start + kQueries;
    score(s, qkv + start * row, table, x, start);
    float sums[kQueries];
    for (int64_t r = 0; r < kQueries; r++) {
      const int64_t seen = start + r + 1;
      const float* a = x.scores.data() + r * m;
      Half16* p = x.weights.data() + r * m;
      float highest = a[0], sum = 0;
#pragma omp simd reduction(max : highest)
      for (int64_t j = 0; j < seen; j++) highest = a[j] > highest ? a[j] : highest;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < seen; j++) {
        float e = exp_below_zero(a[j] - highest);
        sum += e;
        p[j] = rounded(e);
      }
      std::memset(p + seen, 0, 2 * (m - seen));
      sums[r] = 1 / sum;
      lse[start + r] = highest + std::log(sum);
    }
    product(kQueries, s.d, m, x.weights.data(), m, values.data(), s.d, x.mixed.data(), s.d, false);
    for (int64_t r = 0; r < kQueries; r++)
#pragma omp simd
      for (int64_t c = 0; c < s.d; c++) out[(start + r) * hd + c] = rounded(x.mixed[r * s.d + c] * sums[r]);
  }
}

// One thread's share of the backward pass.
struct Backward {
  Scratch x;
  std::vector<float> d_weights, dq, dk, dv;
  std::vector<Half16> keys, values_by_d, d_scores, d_scores_pairs, weights_pairs, d_distance, d_distance_pairs, q_by_d, grad_by_d;
  explicit Backward(const Shape& s)
      : x(s), d_weights(kQueries * s.time), dq(kQueries * s.d), dk(s.d * s.time), dv(s.d * s.time), keys(s.d * s.time),
        values_by_d(s.d * s.time), d_scores(kQueries * s.time), d_scores_pairs(kQueries * s.time), weights_pairs(kQueries * s.time),
        d_distance(kQueries * s.width()), d_distance_pairs(kQueries * s.width()), q_by_d(kQueries * s.d), grad_by_d(kQueries * s.d) {}
};

void weigh_again(const Shape& s, Backward& b, const Half16* grad, const Half16* out, const float* lse, int64_t start) {
  const int64_t m = start + kQueries, w = m + kQueries, hd = s.heads * s.d;
  const float scale = s.scale();
  std::memset(b.d_distance.data(), 0, 2 * kQueries * w);
  for (int64_t r = 0; r < kQueries; r++) {
    const int64_t seen = start + r + 1;
    float delta = 0;
    const Half16 *g = grad + (start + r) * hd, *o = out + (start + r) * hd;
#pragma omp simd reduction(+ : delta)
    for (int64_t c = 0; c < s.d; c++) delta += widened(g[c]) * widened(o[c]);
    const float* a = b.x.scores.data() + r * m;
    const float* dp = b.d_weights.data() + r * m;
    Half16 *p = b.x.weights.data() + r * m, *ds = b.d_scores.data() + r * m;
    const float whole = lse[start + r];
#pragma omp simd
    for (int64_t j = 0; j < seen; j++) {
      float e = exp_below_zero(std::min(a[j] - whole, 0.0f));
      p[j] = rounded(e);
      ds[j] = rounded(e * (dp[j] - delta) * scale);
    }
    std::memset(p + seen, 0, 2 * (m - seen));
    std::memset(ds + seen, 0, 2 * (m - seen));
    std::memcpy(b.d_distance.data() + r * w + kQueries - 1 - r, ds, 2 * seen);
  }
}

// d_qkv of one pair; d_table (d x width, farthest first) is added to.
void attend_backward(const Shape& s, const Half16* qkv, const Half16* out, const Half16* grad, const float* lse, const Table& table, Backward& b,
                     Half16* d_qkv, float* d_table) {
  const int64_t row = s.row(), hd = s.heads * s.d;
  pair_columns(qkv + hd, row, s.time, s.d, b.x.keys_by_d.data(), s.time);
  pair_rows(qkv + hd, row, s.time, s.d, b.keys.data());
  pair_columns(qkv + 2 * hd, row, s.time, s.d, b.values_by_d.data(), s.time);
  std::fill(b.dk.begin(), b.dk.end(), 0.0f);
  std::fill(b.dv.begin(), b.dv.end(), 0.0f);
  for (int64_t start = 0; start < s.time; start += kQueries) {
    const int64_t m = start + kQueries, w = m + kQueries;
    const Half16* q = qkv + start * row;
    score(s, q, table, b.x, start);
    product(kQueries, m, s.d, grad + start * hd, hd, b.values_by_d.data(), s.time, b.d_weights.data(), m, false);
    weigh_again(s, b, grad, out, lse, start);
    pair_rows(b.x.weights.data(), m, kQueries, m, b.weights_pairs.data());
    pair_rows(b.d_scores.data(), m, kQueries, m, b.d_scores_pairs.data());
    pair_rows(b.d_distance.data(), w, kQueries, w, b.d_distance_pairs.data());
    transpose(q, row, kQueries, s.d, b.q_by_d.data());
    transpose(grad + start * hd, hd, kQueries, s.d, b.grad_by_d.data());
    product(s.d, m, kQueries, b.grad_by_d.data(), kQueries, b.weights_pairs.data(), m, b.dv.data(), s.time, true);
    product(s.d, m, kQueries, b.q_by_d.data(), kQueries, b.d_scores_pairs.data(), m, b.dk.data(), s.time, true);
    product(s.d, w, kQueries, b.q_by_d.data(), kQueries, b.d_distance_pairs.data(), w, d_table + s.time - m, s.width(), true);
    product(kQueries, s.d, m, b.d_scores.data(), m, b.keys.data(), s.d, b.dq.data(), s.d, false);
    product(kQueries, s.d, w, b.d_distance.data(), w, table.by_distance.data() + (s.time - m) * s.d, s.d, b.dq.data(), s.d, true);
    for (int64_t r = 0; r < kQueries; r++)
#pragma omp simd
      for (int64_t c = 0; c < s.d; c++) d_qkv[(start + r) * row + c] = rounded(b.dq[r * s.d + c]);
  }
  for (int64_t t = 0; t < s.time; t++)
    for (int64_t c = 0; c < s.d; c++) {
      d_qkv[t * row + hd + c] = rounded(b.dk[c * s.time + t]);
      d_qkv[t * row + 2 * hd + c] = rounded(b.dv[c * s.time + t]);
    }
}

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& qkv, const at::Tensor& relative) {
  const Shape s = shape_of(qkv, relative);
  at::Tensor out = at::empty({s.batch, s.time, s.heads * s.d}, qkv.options());
  at::Tensor lse = at::empty({s.batch, s.heads, s.time}, qkv.options().dtype(at::kFloat));
  const std::vector<Table> tables = tables_of(relative, s);
  const auto* in = (const Half16*)qkv.data_ptr();
  auto* to = (Half16*)out.data_ptr();
  float* sums = lse.data_ptr<float>();
  at::parallel_for(0, s.batch * s.heads, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(s);
    std::vector<Half16> values(s.time * s.d);
    for (int64_t pair = begin; pair < end; pair++) {
      const int64_t b = pair / s.heads, h = pair % s.heads;
      attend(s, in + b * s.time * s.row() + h * s.d, tables[h % s.groups], scratch, values, to + b * s.time * s.heads * s.d + h * s.d,
             sums + pair * s.time);
    }
    at::native::cpublas::brgemm_release(true);
  });
  return {out, lse};
}

std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad, const at::Tensor& qkv, const at::Tensor& relative, const at::Tensor& out,
                                 const at::Tensor& lse) {
  const Shape s = shape_of(qkv, relative);
  TORCH_CHECK(grad.is_contiguous() && grad.scalar_type() == at::kBFloat16 && grad.sizes() == out.sizes(), "grad");
  const int64_t threads = at::get_num_threads(), pairs = s.batch * s.heads, share = (pairs + threads - 1) / threads;
  at::Tensor d_qkv = at::empty_like(qkv);
  at::Tensor d_tables = at::zeros({threads, s.groups, s.d, s.width()}, qkv.options().dtype(at::kFloat));
  const std::vector<Table> tables = tables_of(relative, s);
  at::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
    Backward scratch(s);
    for (int64_t part = first; part < last; part++)  // fixed shares: the same sums in the same order each time
      for (int64_t pair = part * share; pair < std::min(pairs, (part + 1) * share); pair++) {
        const int64_t b = pair / s.heads, h = pair % s.heads, g = h % s.groups;
        const int64_t at_qkv = b * s.time * s.row() + h * s.d, at_out = b * s.time * s.heads * s.d + h * s.d;
        attend_backward(s, (const Half16*)qkv.data_ptr() + at_qkv, (const Half16*)out.data_ptr() + at_out,
                        (const Half16*)grad.data_ptr() + at_out, lse.data_ptr<float>() + pair * s.time, tables[g], scratch,
                        (Half16*)d_qkv.data_ptr() + at_qkv, d_tables.data_ptr<float>() + (part * s.groups + g) * s.d * s.width());
      }
    at::native::cpublas::brgemm_release(true);
  });
  at::Tensor d_relative = d_tables.sum(0).narrow(2, 0, s.time).flip(2).transpose(1, 2).contiguous();
  return {d_qkv, d_relative.to(at::kBFloat16)};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preludio, m) {
  m.def("attend(Tensor qkv, Tensor relative) -> (Tensor, Tensor)");
  m.def("attend_backward(Tensor gradient, Tensor qkv, Tensor relative, Tensor mixed, Tensor log_sums) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(preludio, CPU, m) {
  m.impl("attend", &forward);
  m.impl("attend_backward", &backward);
}
