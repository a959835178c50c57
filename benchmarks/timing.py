"""Fair timing on a machine that others use too: interleaved runs, medians, ratios."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable

HEAP_REUSE = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"


def reuse_heap() -> None:
    """Start this script again with glibc's malloc keeping what it has got.

    By default each large tensor is mapped and unmapped anew, and the page faults cost as much as the fast
    kernels themselves; both sides of a comparison profit.
    """
    if sys.platform == "linux" and os.environ.get("GLIBC_TUNABLES") != HEAP_REUSE:
        os.environ["GLIBC_TUNABLES"] = HEAP_REUSE
        os.execv(sys.executable, [sys.executable, *sys.argv])


def add_clock(parser: argparse.ArgumentParser) -> None:
    """The option that `clock_of` and `measured_on` read."""
    parser.add_argument("--cpu-time", action="store_true", help="processor time, for a machine that is busy")


def clock_of(options: argparse.Namespace) -> Callable[[], float]:
    """For `interleaved_medians`."""
    return time.process_time if options.cpu_time else time.perf_counter


def measured_on(options: argparse.Namespace) -> dict[str, object]:
    """When, where and how the figures of a report came about; `options` has threads and cpu_time."""
    import torch

    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, torch {torch.__version__}",
        "threads": options.threads,
        "clock": "processor time" if options.cpu_time else "time",
    }


def interleaved_medians(
    functions: dict[str, Callable[[], object]],
    seconds: float = 4.0,
    at_least: int = 5,
    at_most: int = 200,
    before: dict[str, Callable[[], object]] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median milliseconds of each function; they take turns, so that a slow spell meets all of them.

    `before[name]` runs, untimed, ahead of every call of a function: it brings the caches into the state the
    function meets in real use, or else it profits from (or pays for) what the one before it has touched.

    `clock` may be `time.process_time`, the processor time of all threads: where other programs want the same
    cores, a long call waits for them many times and a short one not at all, which `perf_counter` would count.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    begin = time.perf_counter()
    while len(times[next(iter(times))]) < at_most:
        for name, function in functions.items():
            if before:
                before[name]()
            start = clock()
            function()
            times[name].append((clock() - start) * 1e3)
        if time.perf_counter() - begin > seconds and len(times[next(iter(times))]) >= at_least:
            break
    return {name: statistics.median(values) for name, values in times.items()}
