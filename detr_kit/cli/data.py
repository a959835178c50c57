"""`detr-kit data`"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..given_paths import check_output_folder, data_paths
from ..number_ranges import check_above_zero
from ..storage import is_url


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("data", help="write data sets in other forms")
    forms = parser.add_subparsers(required=True, metavar="FORM")
    shard = forms.add_parser(
        "shard", help="tar files of some hundred images (WebDataset), for sets larger than a disk"
    )
    shard.add_argument(
        "data", help="COCO, Pascal VOC, YOLO or CVAT: a folder, an annotation file or a data.yaml"
    )
    shard.add_argument("--split", choices=("train", "val", "test", "all"), help="(train, else all)")
    shard.add_argument("--images", metavar="DIR", help="the pictures, where they are not beside")
    shard.add_argument("--out", required=True, metavar="DIR|ADDRESS", help="a folder, or s3://bucket/set, …")
    shard.add_argument("--shard-mb", type=float, default=256, metavar="MB", help="of a tar file (256)")
    shard.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    check_above_zero("--shard-mb", options.shard_mb)
    data_paths(options.data, options.images)
    if not is_url(options.out):
        check_output_folder(Path(options.out))

    from ..data.shards.write import shard_data

    index = shard_data(options.data, options.out, options.split, options.images, options.shard_mb)
    count, size = len(index.shards), sum(index.shard_bytes) / 1e6
    print(f"{len(index.samples.shard)} images in {count} shards of {size:.1f} MB together: {options.out}")
