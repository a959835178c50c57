"""Says when steps are left out because something is not finite, and stops a run that has diverged."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from ...errors import InputError
from ...structures import ImageBatch
from ..trainable_detector import BatchPreprocessor, unwrap


class NumericalHealthHook(Hook):
    """Watches what OptimWrapper leaves out.

    A step now and then is a warning with the names of its images. `optim_wrapper.max_skipped_steps` in a row
    stop the run, with the first layer and parameter that are not finite.
    """

    def before_train(self, runner: Any) -> None:
        """A resumed run goes on counting."""
        runner.optim_wrapper.skipped_steps = int(runner.message_hub.runtime_info.get("skipped_steps", 0))

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: ImageBatch | None = None, outputs: dict | None = None
    ) -> None:
        """Look at the step that was just taken, or was not."""
        wrapper = runner.optim_wrapper
        if not wrapper.bad_parameters or not wrapper.skipped_in_a_row or not wrapper.should_update():
            return
        runner.message_hub.update_info("skipped_steps", wrapper.skipped_steps)
        loss = float(torch.as_tensor((outputs or {}).get("loss", 0.0)).detach())
        what = "the gradients are not finite" if math.isfinite(loss) else f"the loss is {loss}"
        where = f"{what} at iteration {runner.iter + 1} (images {_names(data_batch)})"
        if wrapper.skipped_in_a_row < wrapper.max_skipped_steps:
            runner.logger.warning(
                f"{where}: this step is left out, {wrapper.skipped_steps} so far; after "
                f"{wrapper.max_skipped_steps} in a row the run stops"
            )
            return
        raise InputError(
            f"{where}, and {wrapper.skipped_in_a_row} steps in a row were left out: "
            f"{_culprits(runner, data_batch)}. Checkpoints up to here are kept. Lower "
            "optim_wrapper.optimizer.lr, keep clip_grad, use bfloat16 rather than float16, or look "
            "at these images"
        )


def _names(batch: ImageBatch | None) -> str:
    return ", ".join(f"{t.path} (id {t.image_id})" for t in batch.targets) if batch else "unknown"


def _culprits(runner: Any, batch: ImageBatch | None) -> str:
    """The first parameter, else the first layer's output, else the gradient that is not finite."""
    model = unwrap(runner.model)
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            return f"the weights of {name} are not finite"
    layer = None if batch is None else first_layer_not_finite(runner, model, batch)
    if layer is not None:
        return f"the first layer whose output is not finite is {layer}"
    bad = {id(parameter) for parameter in runner.optim_wrapper.bad_parameters}
    names = [name for name, parameter in model.named_parameters() if id(parameter) in bad]
    # Gradients flow backwards: the last one by name is the nearest to where it began.
    return (
        f"every layer's output is finite, the gradients of {len(names)} parameter(s) are not, the last "
        f"of them {names[-1]}"
    )


@torch.no_grad()
def first_layer_not_finite(runner: Any, model: nn.Module, batch: ImageBatch) -> str | None:
    """Run the batch once more and name the first module, innermost first, whose output is not finite."""
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if not found and any(not t.isfinite().all() for t in _floats(output)):
                found.append(name)

        return hook

    handles = [module.register_forward_hook(look(name)) for name, module in model.named_modules() if name]
    try:
        with runner.optim_wrapper.optim_context(model):
            model(**cast(BatchPreprocessor, model.data_preprocessor)(batch), mode="tensor")
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _floats(value: Any) -> list[Tensor]:
    """The floating tensors in nested containers."""
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, dict):
        value = list(value.values())
    return [t for part in value for t in _floats(part)] if isinstance(value, list | tuple) else []
