"""Time every way of running a detector in turns, and set its detections against the eager network's."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torchvision.ops import FrozenBatchNorm2d
from torchvision.transforms import v2

from ..checkpoints import write_checkpoint
from ..data.image_io import read_image
from ..environment import describe_environment
from ..export import ExportedDetector, VerificationSet
from ..export.compare import latencies, match
from ..export.verification_set import builtin_set
from ..export.verify import LIMITS, detect_all, failures_of
from ..inference import Detector, Predictor
from ..zoo import build_network
from .options import EAGER, BenchmarkOptions
from .result import Benchmark, Row
from .ways import EagerDetector, make_way, precision_of

_DRIFT_IMAGES = 4
_MOST_REPEATS = 200
_SCORE_THRESHOLD = 0.3  # detections from here on have to be found again, as in the verifier of exports


def benchmark_detector(
    model: str | Path | None = None,
    checkpoint: str | Path = "",
    options: BenchmarkOptions | None = None,
    *,
    device: str | torch.device | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Benchmark:
    """Find the fastest way of running a detector on this machine that does not change what it finds.

    A way that does not run here (no compiler, a missing package, a network that a runtime does not take) is
    a row that says why.

    Args:
        model, checkpoint, device: see Detector.
        options: see BenchmarkOptions.
        say: told what is being done, which can take minutes.

    Raises:
        InputError: what the Detector refuses; random weights without a model.
    """
    options = options or BenchmarkOptions()
    options.check_model(model)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        if options.random_weights:
            checkpoint = _random_weights(model, folder)
        images = stack.enter_context(_images(options.images))
        images = replace(images, images=images.images[:_DRIFT_IMAGES])
        make = partial(Detector, model, checkpoint, device)
        detector = make()
        pixels = _pixels(detector, images, options)
        eager = EagerDetector(detector)
        starts: dict[str, Callable[[], Predictor]] = {EAGER: lambda: eager}
        for way in options.ways:
            starts.setdefault(way, partial(make_way, way, detector, make, folder))
        starts |= {str(file): partial(ExportedDetector, file) for file in options.files}
        calls: dict[str, Callable[[], object]] = {}
        rows: list[Row] = []
        for name, start in starts.items():
            say(f"{name} …")
            try:
                predictor = start()
                call = _call(predictor, pixels, options)
                call()
                rows.append(_compared(name, eager, predictor, images))
                calls[name] = call
            except Exception as error:  # compilers and runtimes have errors of their own
                if name == EAGER:  # then nothing does
                    raise
                rows.append(Row(name, "", error=_reason(error)))
        say(f"in turns: {', '.join(calls)} …")
        medians = dict(zip(calls, latencies([*calls.values()], _MOST_REPEATS, options.seconds), strict=True))
    source = "random weights" if options.random_weights else detector.checkpoint
    return Benchmark(
        detector=f"{detector.architecture.config_name} of {source}",
        input_size=(pixels.shape[-2], pixels.shape[-1]),
        batch_size=options.batch_size,
        rows=[replace(row, milliseconds=medians.get(row.name)) for row in rows],
        machine={**describe_environment(), "device": str(detector.device)},
        date=datetime.date.today().isoformat(),
    )


def _compared(name: str, eager: Predictor, predictor: Predictor, images: VerificationSet) -> Row:
    """A row without its time."""
    precision = precision_of(name, predictor)
    expected, found, _ = detect_all(eager, predictor, images)
    matches = match(expected, found, _SCORE_THRESHOLD)
    limits = LIMITS["fp16" if precision == "bf16" else precision]
    return Row(name, precision, None, matches, tuple(failures_of(matches, None, limits)))


def _call(predictor: Predictor, pixels: Tensor, options: BenchmarkOptions) -> Callable[[], object]:
    """Pictures at the network's size -> detections on the host."""
    pixels, sizes = pixels.to(predictor.device), [options.size] * options.batch_size

    @torch.inference_mode()
    def call() -> object:
        return [prediction.scores.cpu() for prediction in predictor.predict_batch(pixels, sizes)]

    return call


def _pixels(detector: Detector, images: VerificationSet, options: BenchmarkOptions) -> Tensor:
    """(B, 3, H, W) uint8, the first picture in the wanted size after the detector's transforms."""
    picture = torch.from_numpy(read_image(images.images[0], apply_orientation=True)).permute(2, 0, 1)
    resized = v2.functional.resize(picture, list(options.size), antialias=True)
    return detector.transforms(resized).expand(options.batch_size, -1, -1, -1).contiguous()


def _images(folder: str | Path | None) -> AbstractContextManager[VerificationSet]:
    return builtin_set() if folder is None else nullcontext(VerificationSet.from_folder(folder))


def _random_weights(model: str | Path | None, folder: Path) -> Path:
    """A checkpoint of a new network, the same each time."""
    assert model is not None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(model)
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.weight.fill_(0.4)  # maps keep their size through fifty layers
    path = folder / "random.safetensors"
    write_checkpoint(path, network.state_dict(), {})
    return path


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
