#define DETR_KIT_ISA baseline
#include "kernels.h"

namespace detr_kit {
const Kernels kBaselineKernels = {"baseline", baseline::forward_any, baseline::backward_any, baseline::finish_softmax_any};
}
