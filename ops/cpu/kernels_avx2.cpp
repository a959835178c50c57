#define DETR_KIT_ISA avx2
#include "kernels.h"

namespace detr_kit {
const Kernels kAvx2Kernels = {"avx2", avx2::forward_any, avx2::backward_any, avx2::finish_softmax_any};
}
