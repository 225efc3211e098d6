// What both attention operators share: how many queries are computed at a time, the shapes of a call, and the exponential of the softmax.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

constexpr int64_t kQueries = 64;

inline float exp_below_zero(float x) {  // e^x for x <= 0, relative error under 3e-6: 2^i times a polynomial on [-0.5, 0.5]
  float y = std::max(x * 1.44269504f, -126.0f);
  float i = std::nearbyint(y);
  float f = y - i;
  float p = 1.3333558e-3f;
  p = p * f + 9.6181291e-3f;
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  int32_t bits = (int32_t(i) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, 4);
  return p * scale;
}

struct Shape {
  int64_t batch, time, heads, d, groups;
  int64_t row() const { return 3 * heads * d; }
  int64_t width() const { return time + kQueries; }  // the distances time - 1 ... 0, then zeros that skewing moves behind the mask
  float scale() const { return 1.0f / std::sqrt(float(d)); }
};

}  // namespace
