"""Load test of `detr-kit serve`: at its capacity, at half and twice of it, with garbage, under slow clients.

    python benchmarks/serve_load.py --json benchmarks/results/serve_load_cpu.json

It starts a server of its own on loopback and ends it; each phase takes --seconds and no longer than the last
answers. Capacity is what as many clients as half the queue get, each asking again when it is answered. The
other phases are open: requests leave on schedule, whether or not the earlier ones are answered, as strangers'
do. In the last phase so many --slow-clients each declare a body, send two bytes of it, and come anew when the
server sends them away.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import io
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import numpy as np
import torch
from PIL import Image

from detr_kit.data import write_shapes

CLI = "import sys; from detr_kit.cli import main; sys.exit(main())"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15, help="of each phase (15)")
    parser.add_argument("--size", type=int, default=128, help="side of the images, pixels (128)")
    parser.add_argument("--queue-size", type=int, default=32)
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--slow-clients", type=int, default=300)
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    images = shapes(options.size)
    with tempfile.TemporaryFile("w+") as log:
        server, address = start_server(options, log)
        try:
            phases = asyncio.run(measure(address, images, options))
        finally:
            server.send_signal(signal.SIGTERM)
            exit_code = server.wait(60)
    report = {
        "date": datetime.date.today().isoformat(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "load_average_at_end": round(os.getloadavg()[0], 1),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "server": {"queue_size": options.queue_size, "max_batch": options.max_batch, "exit_code": exit_code},
        "phases": phases,
    }
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


def start_server(options: argparse.Namespace, log: io.TextIOBase) -> tuple[subprocess.Popen, str]:
    limits = ["--queue-size", str(options.queue_size), "--max-batch", str(options.max_batch)]
    command = [sys.executable, "-c", CLI, "serve", "--port", "0", *limits]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout is not None
    found = re.search(r"http://\S+", server.stdout.readline())
    if not found:
        raise SystemExit("the server did not start")
    return server, found[0]


async def measure(address: str, images: list[bytes], options: argparse.Namespace) -> list[dict]:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=256)
    async with httpx2.AsyncClient(base_url=address, timeout=60, trust_env=False, limits=limits) as client:
        await closed(client, images, 4, seconds=3)  # warm
        clients = options.queue_size // 2
        phases = [report("closed loop", *await closed(client, images, clients, options.seconds))]
        capacity = phases[0]["answered_per_second"]
        broken = garbage(images[0])
        mixed = [*images, *random.choices(broken, k=len(images) // 2)]
        for name, factor, bodies in (
            ("half the capacity", 0.5, images),
            ("capacity", 1.0, images),
            ("twice the capacity", 2.0, images),
            ("capacity, and half as much garbage on top", 1.5, mixed),
            ("half the capacity again", 0.5, images),
        ):
            results, seconds = await open_loop(client, bodies, capacity * factor, options.seconds)
            phases.append(report(name, results, seconds, offered=capacity * factor, garbage=set(broken)))
            figures = (await client.get("/metrics")).text
            phases[-1]["server_memory_mb"] = round(metric(figures, "process_resident_memory_bytes") / 2**20)
        async with slow_clients(client.base_url, options.slow_clients):
            results, seconds = await open_loop(client, images, capacity * 0.5, options.seconds)
        name = f"half the capacity, and {options.slow_clients} slow clients"
        phases.append(report(name, results, seconds, offered=capacity * 0.5))
        return phases


@asynccontextmanager
async def slow_clients(address: httpx2.URL, clients: int) -> AsyncIterator[None]:
    """Connections that each declare a body and send two bytes of it, for as long as the server lets them."""

    async def one_after_the_other() -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(address.host, address.port)
                writer.write(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n\xff\xd8")
                await reader.read()  # until the server closes
                writer.close()
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(one_after_the_other()) for _ in range(clients)]
    await asyncio.sleep(1)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def closed(
    client: httpx2.AsyncClient, images: list[bytes], clients: int, seconds: float
) -> tuple[list, float]:
    """Clients that each ask again when they are answered."""
    results: list[tuple] = []
    end = time.perf_counter() + seconds

    async def ask() -> None:
        while time.perf_counter() < end:
            results.append(await one(client, random.choice(images)))

    start = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(clients)))
    return results, time.perf_counter() - start


async def open_loop(
    client: httpx2.AsyncClient, bodies: list[bytes], rate: float, seconds: float
) -> tuple[list, float]:
    """Requests at random times, `rate` a second on average (a Poisson process)."""
    start, at, tasks = time.perf_counter(), 0.0, []
    while (at := at + random.expovariate(rate)) < seconds:
        await asyncio.sleep(max(start + at - time.perf_counter(), 0))
        tasks.append(asyncio.create_task(one(client, random.choice(bodies))))
    results = await asyncio.gather(*tasks)
    return results, time.perf_counter() - start


async def one(client: httpx2.AsyncClient, body: bytes) -> tuple:
    """(body, status or the name of an exception, seconds, a Retry-After came with it)"""
    start = time.perf_counter()
    try:
        answer = await client.post("/detect", content=body)
    except httpx2.HTTPError as error:
        return body, type(error).__name__, time.perf_counter() - start, False
    return body, answer.status_code, time.perf_counter() - start, "retry-after" in answer.headers


def report(
    name: str, results: list[tuple], seconds: float, offered: float | None = None, garbage=frozenset()
):
    """The figures of a phase, printed. Failed is any answer that its request does not deserve."""
    good = [result for result in results if result[0] not in garbage]
    answered = [took for _, status, took, _ in good if status == 200]
    refused = [took for _, status, took, retry in results if status == 429 and retry]
    turned_down = sum(1 for body, status, *_ in results if body in garbage and status in (400, 413, 415))
    figures = {
        "phase": name,
        "offered_per_second": offered and round(offered, 1),
        "sent": len(results),
        "answered": len(answered),
        "refused_429": len(refused),
        "garbage_turned_down": turned_down,
        "failed": len(results) - len(answered) - len(refused) - turned_down,
        "answered_per_second": round(len(answered) / seconds, 1),
        "p50_ms": milliseconds(answered, 50),
        "p95_ms": milliseconds(answered, 95),
        "p95_of_429_ms": milliseconds(refused, 95),
        "statuses": {str(status): count for status, count in Counter(r[1] for r in results).items()},
    }
    print(json.dumps(figures), flush=True)
    return figures


def milliseconds(seconds: list[float], percentile: int) -> float | None:
    return round(float(np.percentile(seconds, percentile)) * 1e3, 1) if seconds else None


def garbage(image: bytes) -> list[bytes]:
    """Bodies that no server should fall over."""
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    return [
        b"",
        b"GET / HTTP/1.1",
        os.urandom(50_000),
        image[: len(image) // 2],
        bomb.getvalue(),
        bytes(17 * 2**20),
    ]


def shapes(size: int) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write_shapes(folder, num_train=0, num_val=24, image_size=size)
        return [path.read_bytes() for path in sorted(Path(folder, "val").glob("*.png"))]


def metric(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def processor() -> str:
    try:
        return re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]  # type: ignore[index]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
