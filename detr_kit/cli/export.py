"""`detr-kit export`"""

from __future__ import annotations

import argparse
import sys

from ..checkpoints.location import existing_checkpoint
from ..export.options import DEFAULT_OPSET, ENDINGS, KEEP_FLOAT, ExportOptions
from .offline import add_offline_argument


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "export",
        help="write a detector as ONNX, torch.export, AOTInductor or OpenVINO, and verify the file",
        epilog="Exit code: 0 exported and verified, 1 the verification failed, 2 nothing exported.",
    )
    parser.add_argument("--model", help="a config's name or path; by default found by the checkpoint")
    parser.add_argument(
        "--checkpoint",
        required=True,
        help=".pth, .safetensors, a folder, builtin; an address, an id on the Hugging Face hub, a name of "
        "`detr-kit models`",
    )
    add_offline_argument(parser)
    parser.add_argument("--format", required=True, metavar="FORMAT", help=", ".join(ENDINGS))
    parser.add_argument(
        "-o", "--out", required=True, help=f"the file, in the same order: {', '.join(ENDINGS.values())}"
    )

    graph = parser.add_argument_group("what goes into the file")
    graph.add_argument("--half", action="store_true", help="float16; boxes and scores stay float32")
    graph.add_argument("--int8", action="store_true", help="INT8, needs --calibration (onnx, openvino)")
    graph.add_argument("--calibration", metavar="DIR", help="folder or pattern of images like those to come")
    graph.add_argument("--calibration-limit", type=int, default=100, metavar="N", help="of them (100)")
    graph.add_argument(
        "--keep-float", action="append", metavar="PATTERN", help="a further layer for INT8 to leave alone"
    )
    graph.add_argument(
        "--opset", type=int, default=DEFAULT_OPSET, metavar="N", help=f"of ONNX ({DEFAULT_OPSET})"
    )
    graph.add_argument("--static", type=int, nargs=2, metavar=("H", "W"), help="fix the image size")
    graph.add_argument("--no-postprocess", action="store_true", help="end with logits and boxes")
    graph.add_argument("--padding-mask", action="store_true", help="second input, for padded batches")
    graph.add_argument(
        "--op",
        choices=("reference", "native"),
        default="reference",
        help="deformable attention in the torch formats: plain PyTorch, or detr-kit's operator",
    )

    verify = parser.add_argument_group("verification")
    verify.add_argument("--verify", metavar="ANNOTATIONS", help="COCO file for AP before and after")
    verify.add_argument("--images", metavar="DIR", help="its images; without --verify any folder of images")
    verify.add_argument("--limit", type=int, metavar="N", help="images to verify on (all)")
    verify.add_argument("--max-ap-drop", type=float, metavar="X", help="allowed loss of AP, in [0, 1]")
    verify.add_argument("--max-score-drift", type=float, metavar="X", help="of a detection, in [0, 1]")
    verify.add_argument("--max-box-drift", type=float, metavar="X", help="as a share of the image")
    verify.add_argument("--min-iou", type=float, metavar="X", help="mean IoU with the network's detections")
    verify.add_argument("--report", metavar="FILE", help="write the figures as JSON too")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    export_options = ExportOptions(
        format=options.format,
        half=options.half,
        int8=options.int8,
        keep_float=(*KEEP_FLOAT, *(options.keep_float or ())),
        opset=options.opset,
        static_size=options.static and tuple(options.static),
        postprocess=not options.no_postprocess,
        padding_mask=options.padding_mask,
        op=options.op,
    )
    existing_checkpoint(options.checkpoint)

    from ..export import export_and_verify

    found = export_and_verify(
        options.model,
        options.checkpoint,
        options.out,
        export_options,
        calibration=options.calibration,
        calibration_limit=options.calibration_limit,
        annotations=options.verify,
        images=options.images,
        limit=options.limit,
        limits={
            "ap_drop": options.max_ap_drop,
            "scores": options.max_score_drift,
            "boxes": options.max_box_drift,
            "mean_iou": options.min_iou,
        },
        report=options.report,
    )
    from ..export import report_text

    print(report_text(found), file=sys.stdout if found.passed else sys.stderr)
    return 0 if found.passed else 1
