"""Very many images on a Ray cluster of this machine: how fast one and two actors are, and what deaths cost.

    python benchmarks/ray_predict.py speed --images 2000 --json speed.json
    python benchmarks/ray_predict.py faults --images 10000 --json faults.json

`speed` runs in turn one actor, two actors, and without Ray one process and two that know nothing of each
other, a core each: what two cores of this machine can do at all. It compares the images a second between 40
and 90 per cent of the files: models load before. One actor has one core for everything, Ray's own processes
too, and two have two; with --all-cores one actor has both, and its reading threads use the second.
`faults` runs a cluster of two nodes with an actor each, kills an actor with -9 and later a whole node, starts
the command again where it ended, and compares the first files with those of one undisturbed process.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import multiprocessing
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
import torch
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
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, ray {ray.__version__}",
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
    kinds = {f"{count} {kind}": (measure, count) for kind, measure in KINDS.items() for count in (1, 2)}
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(options.rounds):
        for kind, (measure, count) in kinds.items():
            out = folder / f"{turn} {kind}"
            rates[kind].append(round(measure(photos, out, count, options), 1))
            print(f"{kind}: {rates[kind][-1]} images/s", flush=True)
    medians = {kind: statistics.median(of) for kind, of in rates.items()}
    ratios = {kind: round(medians[f"2 {kind}"] / medians[f"1 {kind}"], 2) for kind in KINDS}
    return {"images_a_second": rates, "two_against_one": ratios}


def by_actors(photos: Path, out: Path, count: int, options: argparse.Namespace) -> float:
    """Images a second."""
    os.sched_setaffinity(0, range(2 if options.all_cores else count))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200 * 2**20)
    try:
        predict_dataset(
            str(photos), out, **MODEL, engine="ray", actors=Actors(count=count),
            images_per_file=options.images_per_file,
        )  # fmt: skip
    finally:
        ray.shutdown()
        os.sched_setaffinity(0, range(2))
    return rate(out, options)


def by_processes(photos: Path, out: Path, count: int, options: argparse.Namespace) -> float:
    """Images a second of all together, each with as many images as an actor of so many has."""
    spawn = multiprocessing.get_context("spawn")
    paths = [str(path) for path in sorted(photos.iterdir())]
    outs = [out / str(core) for core in range(count)]
    shares = [paths[core::count] for core in range(count)]
    started = [
        spawn.Process(target=alone, args=(*of, options.images_per_file))
        for of in zip(shares, outs, range(count), strict=True)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    return sum(rate(of, options) for of in outs)


def alone(paths: list[str], out: Path, core: int, images_per_file: int) -> None:
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    predict_dataset(paths, out, **MODEL, images_per_file=images_per_file)


def rate(out: Path, options: argparse.Namespace) -> float:
    """Images a second in the middle: before, an actor may still load its model; behind, one may be idle."""
    ends = sorted(path.stat().st_mtime for path in out.glob("part-*"))
    first, last = int(0.4 * len(ends)), int(0.9 * len(ends))
    return (last - first) * options.images_per_file / (ends[last] - ends[first])


KINDS = {"actors": by_actors, "processes": by_processes}


def faults(photos: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    arguments = dict(MODEL, images_per_file=options.images_per_file)
    torch.set_num_threads(1)  # as an actor has; with two, sums are rounded otherwise
    started = time.time()
    first = [str(path) for path in sorted(photos.iterdir())[: options.compare]]
    undisturbed = predict_dataset(first, folder / "undisturbed", **arguments)
    local_seconds = round(time.time() - started, 1)
    out = folder / "out"
    killed: list[str] = []
    starts = 0
    started = time.time()
    with cluster() as (address, nodes):
        killer = threading.Thread(target=kill, args=(out, nodes, options, killed), daemon=True)
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
def cluster() -> Iterator[tuple[str, list[Any]]]:
    """Two nodes of one CPU each: the address, and the nodes, the head first."""
    memory = {"object_store_memory": 100 * 2**20}
    together = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, **memory},
    )
    node = together.add_node(num_cpus=1, **memory)
    try:
        together.wait_for_nodes()
        yield together.address, [together.head_node, node]
    finally:
        ray.shutdown()
        together.shutdown()


def kill(out: Path, nodes: list[Any], options: argparse.Namespace, killed: list[str]) -> None:
    """An actor at a quarter of the files, a node with everything on it at the half."""
    total = -(-options.images // options.images_per_file)
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    wait_for(out, total // 4)
    actors = [pid for raylet in raylets for pid in children(raylet) if is_actor(pid)]
    os.kill(actors[0], signal.SIGKILL)
    killed.append(f"an actor after {len(list(out.glob('part-*')))} of {total} files")
    print(killed[-1], flush=True)
    wait_for(out, total // 2)
    for pid in (raylets[1], *children(raylets[1])):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    killed.append(f"a node after {len(list(out.glob('part-*')))} of {total} files")
    print(killed[-1], flush=True)


def wait_for(out: Path, files: int) -> None:
    while len(list(out.glob("part-*"))) < files:
        time.sleep(0.1)


def is_actor(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::MapWorker")
    return False


def children(pid: int) -> list[int]:
    """All processes that a process has started, theirs included."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *children(child)]
    return found


if __name__ == "__main__":
    main()
