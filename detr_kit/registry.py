"""The names under which configs find our classes; children of mmengine's registries of the same kind."""

from mmengine.registry import (
    DATA_SAMPLERS as _DATA_SAMPLERS,
)
from mmengine.registry import (
    DATASETS as _DATASETS,
)
from mmengine.registry import (
    FUNCTIONS as _FUNCTIONS,
)
from mmengine.registry import (
    HOOKS as _HOOKS,
)
from mmengine.registry import (
    METRICS as _METRICS,
)
from mmengine.registry import (
    MODELS as _MODELS,
)
from mmengine.registry import (
    OPTIM_WRAPPERS as _OPTIM_WRAPPERS,
)
from mmengine.registry import (
    TRANSFORMS as _TRANSFORMS,
)
from mmengine.registry import (
    Registry,
)


def _registry(name: str, parent: Registry, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope="detr_kit", locations=[f"detr_kit.{loc}" for loc in locations])


MODELS = _registry("model", _MODELS, "models", "losses", "engine")
DATASETS = _registry("dataset", _DATASETS, "data")
DATA_SAMPLERS = _registry("data sampler", _DATA_SAMPLERS, "data")
TRANSFORMS = _registry("transform", _TRANSFORMS, "data")
FUNCTIONS = _registry("function", _FUNCTIONS, "data")
METRICS = _registry("metric", _METRICS, "engine")
HOOKS = _registry("hook", _HOOKS, "engine")
OPTIM_WRAPPERS = _registry("optim_wrapper", _OPTIM_WRAPPERS, "engine")
