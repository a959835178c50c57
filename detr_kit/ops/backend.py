"""Which code runs the op: the native extension `detr_kit._C` where it can, else the PyTorch reference."""

from __future__ import annotations

import os
import warnings
from types import TracebackType

import torch
from torch import Tensor

BACKENDS = ("auto", "native", "reference")
HOW_TO_BUILD = (
    "install torch and a C++17 compiler (GCC or Clang), then "
    "`pip install --no-build-isolation --force-reinstall --no-deps detr-kit` (`-e .` in a checkout)"
)


def _load() -> tuple[frozenset[str], str]:
    """Load the extension; the device types that it serves, and why it serves no more."""
    other_build = os.environ.get("DETR_KIT_EXTENSION")  # for `make sanitize`
    try:
        if other_build:
            torch.ops.load_library(other_build)
        else:
            import detr_kit._C  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        return frozenset(), "detr_kit._C is not built" if missing else f"detr_kit._C does not load: {error}"
    name = "detr_kit::ms_deform_attn"
    keys = {"cpu": "CPU", "cuda": "CUDA"}
    served = {
        device for device, key in keys.items() if torch._C._dispatch_has_kernel_for_dispatch_key(name, key)
    }
    return frozenset(served | {"meta"}), "detr_kit._C was built without kernels for this device"


def _checked(name: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"backend is {name!r}; it must be one of {', '.join(BACKENDS)}")
    return name


_native_devices, _reason = _load()
_choice = _checked(os.environ.get("DETR_KIT_BACKEND", "auto"))
if not _native_devices and _choice != "reference":
    warnings.warn(
        f"{_reason}: multi-scale deformable attention runs in plain PyTorch, many times slower on the CPU. "
        f"To get the native operator, {HOW_TO_BUILD}. DETR_KIT_BACKEND=reference silences this.",
        stacklevel=2,
    )


def native_serves(value: Tensor) -> bool:
    """Whether the native operator computes on this tensor.

    Raises:
        RuntimeError: backend "native" is chosen and cannot serve the tensor's device.
    """
    if _choice == "reference":
        return False
    if value.device.type in _native_devices:
        return True
    if _choice == "native":
        raise RuntimeError(
            f"backend is 'native' and value is on {value.device}: {_reason}. "
            f"Choose use_backend('auto'), or {HOW_TO_BUILD}"
        )
    return False


class use_backend:
    """Choose who runs the op: "auto" (native where possible), "native" (or an error), "reference".

    A plain call holds until the next one; as a context manager it holds inside the block. The environment
    variable DETR_KIT_BACKEND sets the choice at start.

    Raises:
        ValueError: an unknown name.
    """

    def __init__(self, name: str) -> None:
        global _choice
        self.previous = _choice
        _choice = _checked(name)

    def __enter__(self) -> use_backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _choice
        _choice = self.previous


def backend_report() -> list[dict[str, str]]:
    """Which backend serves each device and why, as rows with the keys device, backend and reason."""
    rows = []
    for device in ("cpu", "cuda"):
        native = device in _native_devices and _choice != "reference"
        if native:
            reason = "detr_kit._C is loaded"
            if device == "cpu":
                reason += f", instruction set {torch.ops.detr_kit.cpu_instruction_set('')}"
        elif _choice == "reference":
            reason = "chosen with DETR_KIT_BACKEND or use_backend"
        else:
            reason = f"{_reason}; to get it, {HOW_TO_BUILD}" if device == "cpu" else _reason
        if device == "cuda" and not torch.cuda.is_available():
            reason += " (this machine has no usable GPU)"
        rows.append({"device": device, "backend": "native" if native else "reference", "reason": reason})
    return rows
