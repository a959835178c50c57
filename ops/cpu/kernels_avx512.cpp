#define DETR_KIT_ISA avx512
#include "kernels.h"

namespace detr_kit {
const Kernels kAvx512Kernels = {"avx512", avx512::forward_any, avx512::backward_any, avx512::finish_softmax_any};
}
