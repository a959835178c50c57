#include "kernels.h"

namespace detr_kit::gpu {
DETR_KIT_KERNELS(double, )
}
