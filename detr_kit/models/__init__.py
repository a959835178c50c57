"""Networks in plain PyTorch: a module for each family, and what they share in the folders.

Every registered class can be imported from here: `from detr_kit.models import ResNet`. A family's module is
found by being in this folder.
"""

from importlib import import_module
from pkgutil import walk_packages

from ..registry import MODELS
from .layers.ms_deform_attn import MSDeformAttn

for _module in walk_packages(__path__, f"{__name__}."):
    import_module(_module.name)

_REGISTERED = {
    name: part for name, part in MODELS.module_dict.items() if part.__module__.startswith(__name__)
}
globals().update(_REGISTERED)

__all__ = ["MSDeformAttn", *_REGISTERED]
