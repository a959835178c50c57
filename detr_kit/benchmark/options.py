"""What a benchmark is asked for: judged before a network, or torch, is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..export.options import ENDINGS
from ..number_ranges import check_above_zero, check_count

EAGER = "eager"  # what all others are set against
WAYS = (EAGER, "channels_last", "bf16", "fp16", "compile", *ENDINGS)
# AOTInductor compiles for minutes, and float16 is made for GPUs: both only where they are asked for.
USUAL = tuple(way for way in WAYS if way not in ("fp16", "aoti"))
SIZE = (480, 640)  # the commonest of COCO


@dataclass(frozen=True)
class BenchmarkOptions:
    """How to measure.

    Attributes:
        ways: of WAYS, in which to run the network; "eager" is always among them.
        files: exported already, to be measured too.
        size: (height, width) of the picture; the detector's own transforms bring it to what the network sees.
        batch_size: pictures at once.
        seconds: to take turns for; each way has at least three.
        images: folder of pictures on which detections are compared; None for four drawn ones.
        random_weights: of a model that has no checkpoint yet; time does not depend on weights, drift does.

    Raises:
        InputError: no such way or folder, or a number out of its range.
    """

    ways: Sequence[str] = USUAL
    files: Sequence[str | Path] = ()
    size: tuple[int, int] = SIZE
    batch_size: int = 1
    seconds: float = 60.0
    images: str | Path | None = None
    random_weights: bool = False

    def __post_init__(self) -> None:
        for way in self.ways:
            if way not in WAYS:
                raise InputError(f"benchmark: {way!r}; it must be one of {', '.join(WAYS)}")
        for file in self.files:
            if not Path(file).is_file():
                raise InputError(f"{file}: no such file")
        for side in self.size:
            check_count("size: side", side, remark=", in pixels")
        check_count("batch_size", self.batch_size)
        check_above_zero("seconds", self.seconds)
        if self.images is not None and not Path(self.images).is_dir():
            raise InputError(f"{self.images}: no folder with images in it")

    def check_model(self, model: str | Path | None) -> None:
        """Raises InputError where weights are to be random and nobody says of what."""
        if self.random_weights and model is None:
            raise InputError("--random-weights of which model? Name it with --model")
