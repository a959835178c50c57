"""Very many images on a Ray cluster of this machine: how fast one and two actors are, and what deaths cost.

    python benchmarks/ray_predict.py speed --images 2000 --json speed.json
    python benchmarks/ray_predict.py faults --images 10000 --json faults.json

`speed` runs one actor and two in turn, and compares the images a second between 40 and 90 per cent of the
files: models load before. One actor has one core for everything, Ray's own processes too, and two have
two; with --all-cores one actor has both, and its reading threads use the second.
`faults` runs a cluster of two nodes with an actor each, kills an actor with -9 and later a whole node, starts
the command again where it ended, and compares the first files with those of one undisturbed process.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import ray
from ray.cluster_utils import Cluster

from detr_kit.data import write_shapes
from detr_kit.errors import InputError
from detr_kit.scale import Actors, predict_dataset

MODEL: dict[str, Any] = dict(checkpoint="builtin", device="cpu", quiet=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("speed", "faults"))
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=96, help="side in pixels (96)")
    parser.add_argument("--images-per-file", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3, help="of speed (3)")
    parser.add_argument("--compare", type=int, default=2000, help="images of faults done undisturbed (2000)")
    parser.add_argument("--all-cores", action="store_true", help="see above")
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        write_photos(photos, options.images, options.size)
        measure = speed if options.what == "speed" else faults
        figures = measure(photos, Path(folder), options)
    report = {
        "date": datetime.date.today().isoformat(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": f"{platform.processor()}, {os.cpu_count()} cores, ray {ray.__version__}",
        "images": options.images,
        **figures,
    }
    print(json.dumps(report, indent=1))
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


def write_photos(folder: Path, count: int, size: int) -> None:
    """Shapes under other light each, so that no two files are alike; every thousandth is cut short."""
    with tempfile.TemporaryDirectory() as scratch:
        write_shapes(Path(scratch), num_train=50, num_val=1, image_size=size)
        pictures = [cv2.imread(str(path)) for path in sorted((Path(scratch) / "train").iterdir())]
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        light = rng.uniform(0.6, 1.4)
        picture = np.clip(pictures[number % len(pictures)] * light, 0, 255).astype(np.uint8)
        data = cv2.imencode(".jpg", picture)[1].tobytes()
        (folder / f"{number:06}.jpg").write_bytes(data[: len(data) // 2] if number % 1000 == 999 else data)


def speed(photos: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    rates: dict[int, list[float]] = {1: [], 2: []}
    walls: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(options.rounds):
        for count in (1, 2):
            os.sched_setaffinity(0, range(2 if options.all_cores else count))
            out = folder / f"out_{turn}_{count}"
            ray.init(
                num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200 * 2**20
            )
            started = time.time()
            predict_dataset(
                str(photos), out, **MODEL, engine="ray", actors=Actors(count=count),
                images_per_file=options.images_per_file,
            )  # fmt: skip
            walls[count].append(round(time.time() - started, 1))
            ray.shutdown()
            ends = sorted(path.stat().st_mtime for path in out.glob("part-*"))
            # Before, an actor may still load its model; behind, one may have nothing left to do.
            first, last = int(0.4 * len(ends)), int(0.9 * len(ends))
            images = (last - first) * options.images_per_file
            rates[count].append(round(images / (ends[last] - ends[first]), 1))
            print(f"{count} actor(s): {rates[count][-1]} images/s, {walls[count][-1]} s in all", flush=True)
    ratio = statistics.median(rates[2]) / statistics.median(rates[1])
    return {"images_a_second": rates, "seconds_in_all": walls, "two_actors_against_one": round(ratio, 2)}


def faults(photos: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    arguments = dict(MODEL, images_per_file=options.images_per_file)
    started = time.time()
    first = [str(path) for path in sorted(photos.iterdir())[: options.compare]]
    undisturbed = predict_dataset(first, folder / "undisturbed", **arguments)
    local_seconds = round(time.time() - started, 1)
    out = folder / "out"
    killed: list[str] = []
    starts = 0
    started = time.time()
    with cluster() as (address, node):
        killer = threading.Thread(target=kill, args=(out, node, options, killed), daemon=True)
        killer.start()
        while True:
            starts += 1
            try:
                report = predict_dataset(
                    str(photos), out, **arguments, engine="ray", actors=Actors(count=2, address=address)
                )
                break
            except InputError as error:
                print(f"ended with: {error}", flush=True)
        killer.join(60)
    print(report)
    rows = Counter(pq.read_table(out, columns=["path"])["path"].to_pylist())
    rows.update(pq.read_table(out / "_errors", columns=["path"])["path"].to_pylist())
    expected = {str(path) for path in photos.iterdir()}
    files, theirs = (
        {p.relative_to(of): p.read_bytes() for p in of.rglob("part-*.parquet")}
        for of in (out, folder / "undisturbed")
    )
    return {
        "killed": killed,
        "starts": starts,
        "seconds": round(time.time() - started, 1),
        "lost": len(expected - set(rows)),
        "twice": sum(count > 1 for count in rows.values()),
        "bad_images": len(rows) - pq.read_table(out, columns=["path"]).num_rows,
        "files": len(files),
        "files_compared": len(theirs),
        "files_not_as_undisturbed": sum(files[name] != theirs[name] for name in theirs),
        "images_a_second_of_one_process": round(undisturbed.total / local_seconds, 1),
    }


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, Any]]:
    """Two nodes of one CPU each: the address, and the second node."""
    memory = {"object_store_memory": 100 * 2**20}
    together = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, **memory},
    )
    node = together.add_node(num_cpus=1, **memory)
    try:
        together.wait_for_nodes()
        yield together.address, node
    finally:
        ray.shutdown()
        together.shutdown()


def kill(out: Path, node: Any, options: argparse.Namespace, killed: list[str]) -> None:
    """An actor at a quarter of the files, a node with everything on it at the half."""
    total = -(-options.images // options.images_per_file)
    wait_for(out, total // 4)
    actors = processes("ray::MapWorker")
    os.kill(actors[0], signal.SIGKILL)
    killed.append(f"an actor after {len(list(out.glob('part-*')))} of {total} files")
    print(killed[-1], flush=True)
    wait_for(out, total // 2)
    raylet = node.all_processes["raylet"][0].process.pid
    below = children(raylet)
    for pid in (raylet, *below):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    killed.append(f"a node after {len(list(out.glob('part-*')))} of {total} files")
    print(killed[-1], flush=True)


def wait_for(out: Path, files: int) -> None:
    while len(list(out.glob("part-*"))) < files:
        time.sleep(0.1)


def processes(name: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(name.encode()):
                found.append(int(path.parent.name))
    return found


def children(pid: int) -> list[int]:
    """All processes that a process has started, theirs included."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *children(child)]
    return found


if __name__ == "__main__":
    main()
