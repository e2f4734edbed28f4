"""Requests a second of `geoloc serve` under load from this, another, process; answers are checked.

Every client sends images of its own under names of its own and compares the answer with what a
Geolocator in this process said of the same bytes. Without and with micro-batching by turns, so that
both meet the machine in the same state.

    python benchmarks/service_load.py --run runs/demo --images data/earth_tiles_demo/unseen
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image, ImageOps

from geoloc.inference import Geolocator

VARIANTS = {"one by one": 1, "batches of up to 16": 16}


def distinct_images(folder: Path, count: int) -> list[bytes]:
    """JPEGs that all differ: the folder's, turned and mirrored."""
    files = sorted(folder.glob("*.jpg"))
    made: list[bytes] = []
    while len(made) < count:
        turn, file = divmod(len(made), len(files))
        image = Image.open(files[file]).convert("RGB").rotate(90 * (turn % 4))
        image = ImageOps.mirror(image) if turn % 8 >= 4 else image
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90 - turn // 8)
        made.append(buffer.getvalue())
    return made


@contextmanager
def server(run: Path, images: int):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [f"port={port}", "coarse_km=0", "access_log=false", f"batching.images={images}"]
    # A machine that is shared may be slow; nothing shall be given up for that.
    words.append("limits.answer_seconds=300")
    command = [sys.executable, "-m", "geoloc", "serve", "--run", str(run), *words]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while get(port, "/ready")[0] != 200:
            time.sleep(0.2)
            assert process.poll() is None
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, "the service did not end well"


def measured(port: int, name: str) -> float:
    """One of the service's own measurements."""
    return float(re.search(rf"^{name} (\S+)", get(port, "/metrics")[1].decode(), re.M)[1])


def get(port: int, path: str) -> tuple[int, bytes]:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def form(name: str, data: bytes) -> tuple[bytes, dict[str, str]]:
    head = f'--b\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'
    body = head.encode() + data + b"\r\n--b--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=b"}


class Client(threading.Thread):
    """Sends its requests one after another, and notes times and everything that is wrong."""

    def __init__(self, number: int, port: int, images: list[bytes], told: list[dict], count: int):
        super().__init__()
        self.number, self.port, self.images, self.told, self.count = (
            *(number, port, images, told),
            count,
        )
        self.seconds: list[float] = []
        self.wrong: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for step in range(self.count):
            which = (self.number * self.count + step) % len(self.images)
            name = f"client-{self.number}-{step}.jpg"
            began = time.perf_counter()
            connection.request("POST", "/v1/locate", *form(name, self.images[which]))
            response = connection.getresponse()
            document = json.loads(response.read())
            self.seconds.append(time.perf_counter() - began)
            if response.status != 200 or not mine(document, name, self.told[which]):
                self.wrong.append(f"{name}: {response.status} {str(document)[:200]}")
        connection.close()


def mine(document: dict, name: str, told: dict) -> bool:
    (answer,) = document["answers"]
    place = answer["places"][0]
    near = all(
        abs(place[key] - told[key]) < 2e-3
        for key in ("latitude_deg", "longitude_deg", "score", "probability")
    )
    return answer["source"] == name and near


def load(port: int, clients: int, each: int, images: list[bytes], told: list[dict]):
    """Requests a second, and the times in ms, of so many clients at once with so many each."""
    threads = [Client(number, port, images, told, each) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - began
    wrong = [line for thread in threads for line in thread.wrong]
    times = sorted(1e3 * took for thread in threads for took in thread.seconds)
    assert len(times) == each * clients, "a request was dropped"
    assert not wrong, wrong[:3]
    return len(times) / wall, statistics.median(times), times[int(0.95 * len(times))]


def expected(run: Path, images: list[bytes]) -> tuple[list[dict], float]:
    """What the clients shall be told, and the CPU time in ms of an image without any service."""
    torch.set_num_threads(1)
    geolocator = Geolocator.load(run)
    geolocator.locate(images[0])
    began = time.process_time()
    answers = [geolocator.locate(image) for image in images]
    alone_ms = 1e3 * (time.process_time() - began) / len(images)
    told = []
    for answer in answers:
        place = answer.places[0]
        told.append(
            {
                "latitude_deg": place.latlon_deg[0],
                "longitude_deg": place.latlon_deg[1],
                "score": place.score,
                "probability": place.probability,
            }
        )
    assert len({(each["latitude_deg"], each["score"]) for each in told}) == len(told)
    return told, alone_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    parser.add_argument("--images", type=Path, default=Path("data/earth_tiles_demo/unseen"))
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    images = distinct_images(args.images, 96)
    told, alone_ms = expected(args.run, images)
    print(f"Geolocator.locate in this process, one image a call: CPU {alone_ms:.0f} ms an image")
    print(f"{len(images)} distinct images, {os.cpu_count()} cores shared with the clients")
    rates: dict[tuple[str, int], list[float]] = {}
    cpu: dict[tuple[str, int], list[float]] = {}
    for _ in range(args.rounds):
        for name, size in VARIANTS.items():
            with server(args.run, size) as (port, process):
                for clients in (1, 8, 50):
                    # As many for each client, so that there may be some more.
                    each = -(-(args.requests if clients > 1 else args.requests // 2) // clients)
                    before = measured(port, "process_cpu_seconds_total")
                    rate, middle, late = load(port, clients, each, images, told)
                    spent = measured(port, "process_cpu_seconds_total") - before
                    cpu.setdefault((name, clients), []).append(1e3 * spent / (each * clients))
                    rates.setdefault((name, clients), []).append(rate)
                    print(
                        f"{name}, {clients} clients: {rate:.1f} requests/s, "
                        f"p50 {middle:.0f} ms, p95 {late:.0f} ms, "
                        f"CPU {cpu[name, clients][-1]:.0f} ms a request"
                    )
                count, total = (
                    measured(port, f"geoloc_batch_images_{what}") for what in ("count", "sum")
                )
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1e3
                print(f"{name}: {total / count:.1f} images a batch, peak {peak:.0f} MB")
    for clients in (1, 8, 50):
        plain, batched = (max(rates[name, clients]) for name in VARIANTS)
        less = min(cpu["batches of up to 16", clients]) / min(cpu["one by one", clients])
        print(
            f"{clients} clients: batching gives {batched / plain:.2f} x the requests/s "
            f"for {less:.2f} x the CPU time"
        )
    print("every client had its own answer, none was dropped")


if __name__ == "__main__":
    main()
