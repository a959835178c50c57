"""The command line: arguments, and nothing else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from . import __version__
from .errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `detr-kit …`; a user's mistake ends with one message and exit code 2."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except InputError as error:
        # A worker process hands its error over inside a traceback: the message is its last part.
        message = str(error).rsplit("InputError: ", 1)[-1].strip()
        print(f"error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="detr-kit", description="DETR and Deformable DETR object detection")
    parser.add_argument("--version", action="version", version=f"detr-kit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a config")
    train.add_argument("config", help="a config's name (deformable_detr_r50) or path")
    train.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        metavar="CHECKPOINT",
        help="go on from the newest checkpoint of the work directory, or from a given one",
    )
    train.add_argument("--amp", action="store_true", help="mixed precision, bfloat16")
    train.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate from the recipe's batch size to the real one",
    )
    _add_run_arguments(train)
    train.set_defaults(run=_train)

    test = commands.add_parser("test", help="evaluate a checkpoint with the COCO metric")
    test.add_argument("config", help="a config's name or path")
    test.add_argument("checkpoint", help=".pth or .safetensors")
    test.add_argument("--out", metavar="FILE", help="write the detections as COCO JSON")
    _add_run_arguments(test)
    test.set_defaults(run=_test)

    predict = commands.add_parser("predict", help="detect objects in images")
    predict.add_argument("images", nargs="+", help="image files or URLs")
    predict.add_argument("--model", required=True, help="a config's name or path")
    predict.add_argument("--checkpoint", required=True, help=".pth or .safetensors")
    predict.add_argument("--out", default="outputs", metavar="DIR", help="where the pictures go (outputs)")
    predict.add_argument("--score-threshold", type=float, default=0.3)
    predict.add_argument("--device", help="cpu, cuda, …")
    predict.set_defaults(run=_predict)

    convert = commands.add_parser("convert", help="convert a checkpoint between projects")
    convert.add_argument("source", help=".pth, .safetensors or a transformers folder, of any known format")
    convert.add_argument(
        "--to", required=True, choices=("official", "mmdet", "huggingface", "detr_kit"), help="whose format"
    )
    convert.add_argument(
        "-o", "--out", required=True, help=".safetensors or .pth; for huggingface a folder, with config.json"
    )
    convert.add_argument(
        "--classes", choices=("keep", "coco80"), default="keep", help="coco80: mmdet's 80 of the 91 COCO ids"
    )
    convert.add_argument("--dc5", action="store_true", help="the model is DC5, which weights do not tell")
    convert.add_argument("--verify", action="store_true", help="run both and print the largest differences")
    convert.set_defaults(run=_convert)

    env = commands.add_parser("env", help="versions of what matters, for bug reports")
    env.set_defaults(run=_env)
    return parser


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work-dir", metavar="DIR", help="logs and checkpoints (work_dirs/CONFIG)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override the config: train_dataloader.batch_size=4 data_root=/data/coco …",
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        default="none",
        help="how several processes were started (torchrun: pytorch)",
    )


def _train(options: argparse.Namespace) -> None:
    from .engine import train

    train(
        options.config,
        resume=options.resume,
        amp=options.amp,
        auto_scale_lr=options.auto_scale_lr,
        **_run_arguments(options),
    )


def _test(options: argparse.Namespace) -> None:
    from .engine import evaluate

    evaluate(options.config, options.checkpoint, out=options.out, **_run_arguments(options))


def _run_arguments(options: argparse.Namespace) -> dict[str, Any]:
    return dict(work_dir=options.work_dir, options=options.cfg_options, launcher=options.launcher)


def _predict(options: argparse.Namespace) -> None:
    from .inference import Detector, picture_names

    detector = Detector(options.model, options.checkpoint, device=options.device)
    names, failed = picture_names(options.images), []
    for image, name in zip(options.images, names, strict=True):
        try:
            detections = detector(image, score_threshold=options.score_threshold)
            path = detections.save(Path(options.out) / name)
        except InputError as error:
            failed.append(str(error))
            continue
        print(detections.to_json())
        print(f"{len(detections)} objects drawn in {path}", file=sys.stderr)
    if failed:
        raise InputError(f"{len(failed)} of {len(names)} images failed: " + "; ".join(failed))


def _convert(options: argparse.Namespace) -> None:
    from .checkpoints import convert_file, verify_conversion

    dilation = options.dc5 or None
    report = convert_file(options.source, options.to, options.out, classes=options.classes, dilation=dilation)
    print(
        f"{report.source} checkpoint of {report.architecture}, {report.num_tensors} tensors -> "
        f"{report.destination}: {report.path}"
    )
    for note in report.notes:
        print(f"note: {note}")
    if options.verify:
        differences = verify_conversion(
            options.source, options.out, classes=options.classes, dilation=options.dc5
        )
        for name, value in differences.items():
            print(f"largest difference of {name}: {value:.1e}")


def _env(options: argparse.Namespace) -> None:
    from .environment import describe_environment

    for name, value in describe_environment().items():
        print(f"{name:14} {value}")
