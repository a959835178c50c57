"""Which code runs the op: the native `detr_kit._C` where it can, else Triton on a GPU, else plain PyTorch."""

from __future__ import annotations

import os
import warnings
from functools import cache
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from . import triton_operators

BACKENDS = ("auto", "native", "triton", "reference")
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
            import detr_kit._C  # type: ignore  # noqa: F401
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


def _serves_card(architectures: str, capability: tuple[int, int]) -> bool:
    """Whether kernels built for `architectures`, as "8.0 9.0+PTX", run on a card of this capability.

    Machine code runs on the cards of its generation from its own capability on; PTX on all that came later.
    """
    for name in architectures.split():
        number, suffix = name.removesuffix("+PTX").rstrip("af"), name.removesuffix("+PTX")[-1]
        major, minor = (int(part) for part in number.split("."))
        if suffix == "a":  # for one architecture alone, its PTX included
            if (major, minor) == capability:
                return True
            continue
        same = major == capability[0] and minor <= capability[1]
        if same or (suffix != "f" and name.endswith("+PTX") and (major, minor) <= capability):
            return True
    return False


@cache
def _why_not_on_card(index: int) -> str | None:
    """Why the native kernels cannot run on GPU `index`; None if they can."""
    if not torch.cuda.is_available():  # a tensor without data, made for tracing
        return None
    capability = torch.cuda.get_device_capability(index)
    built = torch.ops.detr_kit.cuda_build("architectures")
    if _serves_card(built, capability):
        return None
    return (
        f"detr_kit._C holds CUDA kernels for {built}, and {torch.cuda.get_device_name(index)} is "
        f"{capability[0]}.{capability[1]}; build it with TORCH_CUDA_ARCH_LIST={capability[0]}.{capability[1]}"
    )


_native_devices, _reason = _load()
_choice = _checked(os.environ.get("DETR_KIT_BACKEND", "auto"))
if not _native_devices and _choice != "reference":
    warnings.warn(
        f"{_reason}: multi-scale deformable attention runs in plain PyTorch, many times slower on the CPU. "
        f"To get the native operator, {HOW_TO_BUILD}. DETR_KIT_BACKEND=reference silences this.",
        stacklevel=2,
    )


def operators_for(value: Tensor) -> Any:
    """The operators that compute on this tensor, as a namespace of torch.ops; None for the reference.

    Raises:
        RuntimeError: "native" or "triton" is chosen and cannot serve the tensor's device.
    """
    if _choice == "reference":
        return None
    reason = _why_not_native(value.device)
    if reason is None and _choice != "triton":
        return torch.ops.detr_kit
    if _choice == "native":
        raise RuntimeError(
            f"backend is 'native' and value is on {value.device}: {reason}. "
            f"Choose use_backend('auto'), or {HOW_TO_BUILD}"
        )
    if _choice == "auto" and value.device.type != "cuda":
        return None
    # While a graph is traced, tensors have no data to try Triton with.
    plain = type(value) is Tensor and not torch.compiler.is_compiling()
    reason = triton_operators.why_not(value.device, trial=plain)
    if reason is None:
        return torch.ops.detr_kit_triton
    if _choice == "triton":
        raise RuntimeError(
            f"backend is 'triton' and value is on {value.device}: {reason}. Choose use_backend('auto')"
        )
    return None


def _why_not_native(device: torch.device) -> str | None:
    if device.type not in _native_devices:
        return _reason
    if device.type == "cuda" and not torch.compiler.is_compiling():
        return _why_not_on_card(device.index)
    return None


class use_backend:
    """Choose who runs the op: "auto", "native" or "triton" (or an error), "reference" (plain PyTorch).

    "auto" is native where possible, else Triton on a GPU, else the reference.

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
    for kind in ("cpu", "cuda"):
        card = kind == "cuda" and torch.cuda.is_available()
        backend, reason = _serving(
            torch.device(kind, torch.cuda.current_device()) if card else torch.device(kind)
        )
        if kind == "cuda" and not card:
            reason += " (this machine has no usable GPU)"
        rows.append({"device": kind, "backend": backend, "reason": reason})
    return rows


def _serving(device: torch.device) -> tuple[str, str]:
    if _choice == "reference":
        return "reference", "chosen with DETR_KIT_BACKEND or use_backend"
    reason = _why_not_native(device)
    if reason is None and _choice != "triton":
        return "native", f"detr_kit._C is loaded, {_about(device.type)}"
    if reason is None:
        reason = "chosen with DETR_KIT_BACKEND or use_backend"
    elif device.type == "cpu" or not _native_devices:
        reason += f"; to get it, {HOW_TO_BUILD}"
    elif device.type not in _native_devices:
        reason += ": nvcc was not found or failed when it was built (set CUDA_HOME and build anew)"
    if _choice == "native" or (_choice == "auto" and device.type != "cuda"):
        return "reference", reason
    problem = triton_operators.why_not(device)
    if problem is None:
        return "triton", f"its kernels are compiled when they are called first; {reason}"
    return "reference", f"{reason}; nor Triton: {problem}"


def _about(device: str) -> str:
    if device == "cpu":
        return f"instruction set {torch.ops.detr_kit.cpu_instruction_set('')}"
    build = torch.ops.detr_kit.cuda_build
    return f"kernels for {build('architectures')}, CUDA {build('toolkit')}"
