"""Parts done by Ray Data: one model an actor, on as many machines as the cluster has."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .detector_spec import DetectorSpec
from .part import PartPredictor
from .report import PartReport
from .run_folder import Part


@dataclass(frozen=True)
class Actors:
    """The processes that predict.

    Args:
        count: how many; as many as the cluster has GPUs, or else as its CPUs allow.
        cpus: of each: threads of the network on a CPU, and of decoding beside a GPU.
        gpus: of each; by default 1 where the cluster has some. A share, such as 0.5, lets several share one.
        address: of the cluster, as `ray.init` takes it; by default RAY_ADDRESS, or a cluster of this machine
            alone that lasts as long as the run.
    """

    count: int | None = None
    cpus: float = 1
    gpus: float | None = None
    address: str | None = None


class _Actor:
    """Holds the network of a process."""

    def __init__(self, spec: DetectorSpec, settings: dict[str, Any], arguments: dict[str, Any]) -> None:
        detector = spec.build()
        if json.dumps(spec.settings(detector), sort_keys=True) != json.dumps(settings, sort_keys=True):
            raise InputError(
                f"checkpoint {spec.checkpoint}: another file on this machine than where the run began"
            )
        self._predict = PartPredictor(detector, **arguments)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        report = self._predict(Part(row["name"], list(row["paths"])))
        return {"done": report.done, "failed": report.failed, "objects": json.dumps(report.objects)}


def run_parts(
    parts: Sequence[Part],
    spec: DetectorSpec,
    settings: dict[str, Any],
    actors: Actors,
    arguments: dict[str, Any],
) -> Generator[PartReport, None, None]:
    """Do the parts in any order.

    An actor or a machine that dies is replaced, and the part that it was at is done again, by whoever is
    free. Ray Data hands an actor a part or two at a time, so what waits is a list of paths.

    Args:
        settings: of the run, which each actor's network has to have.
        arguments: of `PartPredictor`.

    Raises:
        InputError: the cluster cannot be reached or has no room for an actor; what an actor refuses.
    """
    import ray

    with _cluster(actors.address):
        have = ray.cluster_resources()
        gpus = (1.0 if have.get("GPU") else 0.0) if actors.gpus is None else actors.gpus
        room = min(have.get(kind, 0) / of for kind, of in (("CPU", actors.cpus), ("GPU", gpus)) if of)
        if room < 1:
            raise InputError(
                f"the Ray cluster has {have.get('CPU', 0):g} CPUs and {have.get('GPU', 0):g} GPUs, too few "
                f"for an actor of {actors.cpus:g} CPUs and {gpus:g} GPUs"
            )
        rows = [{"name": part.name, "paths": part.paths} for part in parts]
        reports = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor,
            fn_constructor_args=(spec, settings, arguments),
            compute=ray.data.ActorPoolStrategy(size=min(actors.count or int(room), len(parts))),
            num_cpus=actors.cpus,
            num_gpus=gpus,
        )
        try:
            for row in reports.iter_rows():
                yield PartReport(row["done"], row["failed"], Counter(json.loads(row["objects"])))
        except ray.exceptions.RayError as error:
            raise InputError(_message(error)) from error


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """The cluster that this process is of already, or a given one, or a new one."""
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address, include_dashboard=None if address else False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"Ray cluster {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _message(error: Exception) -> str:
    """What the actor said, or that actors cannot live."""
    told = str(error).rpartition("InputError: ")[2].strip().splitlines() if "InputError" in str(error) else []
    return told[0] if told else f"Ray: {error}; the same command goes on with the rest"
