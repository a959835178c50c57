"""What detr-kit runs on: the first thing a bug report needs."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from .ops import backend_report

_PACKAGES = ("detr-kit", "torchvision", "mmengine", "opencv-python", "pycocotools", "hotcoco", "numpy")


def describe_environment() -> dict[str, str]:
    """Name -> value for the versions and devices that matter."""
    facts = {"python": platform.python_version(), "platform": platform.platform()}
    facts["torch"] = torch.__version__
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    facts["cpu threads"] = str(torch.get_num_threads())
    for row in backend_report():
        facts[f"op on {row['device']}"] = f"{row['backend']}: {row['reason']}"
    facts["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return facts
