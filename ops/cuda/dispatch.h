// The kernels there are: for each element type, the ways to divide a warp among channels and points.
#pragma once

#include "backward.h"
#include "forward.h"
#include "ordered.h"

namespace detr_kit::gpu {

// Calls `run` with the template arguments that the plan asks for.
template <class T, class Run>
void with_division(const Plan& plan, Run&& run) {
  constexpr int kVector = sizeof(T) == 8 ? 1 : 16 / int(sizeof(T));
  if constexpr (kVector > 1) {
    if (plan.vector == kVector) {
      constexpr int kSmall = 32 / kVector, kLarge = 64 / kVector;
      const bool whole_warp = plan.split > 1;
      switch (plan.group) {
        case kSmall:
          return whole_warp ? run.template operator()<kVector, kSmall, kWarp / kSmall>()
                            : run.template operator()<kVector, kSmall, 1>();
        case kLarge:
          return whole_warp ? run.template operator()<kVector, kLarge, kWarp / kLarge>()
                            : run.template operator()<kVector, kLarge, 1>();
        default: return run.template operator()<kVector, kWarp, 1>();
      }
    }
  }
  run.template operator()<1, 32, 1>();
}

}  // namespace detr_kit::gpu
