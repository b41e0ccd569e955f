"""Downloads one clip by every way there is, on one loopback server, and prints the ratios. Times assert nothing.

To local disk: the seed document's loop (requests, 8192-byte chunks), curl, and ``WisdomGateHook.download_video``,
which alone also hashes, walks the boxes and syncs to disk. To S3 (moto's server): ``HttpToS3Operator`` and ours.

Every run is a process of its own, which downloads a small clip first: imports and first connections are neither in its
times nor in the memory its peak is compared with. Rounds are interleaved, and what one run wrote is removed and
synced before the next. Linux only: the peaks come from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.boxes import clip

MIB = 1024**2
SMALL = 1 * MIB
BUCKET, KEY = "clips", "not-a-secret"
LOCAL = ("seed", "curl", "ours")
S3 = ("HttpToS3Operator", "ours-s3")
Facts = dict[str, float]

# ------------------------------------------------------------------------------------------ the gateway


def serve_gateway() -> None:
    """Serve clips whose id says their size. The bytes of a body leave by sendfile from a small file, always cached."""
    with tempfile.TemporaryFile() as body, socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        body.write(os.urandom(8 * MIB))
        body.flush()
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection, body.fileno()), daemon=True).start()


def talk(connection: socket.socket, body: int) -> None:
    with connection, connection.makefile("rb") as requests, suppress(OSError):
        while line := requests.readline():
            while requests.readline().strip():
                pass
            path = line.split()[1].decode()
            video_id = path.split("/")[3]
            if path.endswith("/content"):
                send_clip(connection, int(video_id.removeprefix("video_")), body)
            else:
                answer = json.dumps({"id": video_id, "object": "video", "status": "completed", "progress": 100})
                send_head(connection, "application/json", len(answer))
                connection.sendall(answer.encode())


def send_head(connection: socket.socket, kind: str, length: int) -> None:
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode())


def send_clip(connection: socket.socket, size: int, body: int) -> None:
    send_head(connection, "video/mp4", size)
    connection.sendall(head := clip(8, 1280, 720, b"", size))
    left = size - len(head)
    while left:
        left -= os.sendfile(connection.fileno(), body, 0, min(left, 8 * MIB))


def serve_s3() -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    threading.Event().wait()


# ------------------------------------------------------------------------------------------ the competitors


def by_seed(gateway: str, size: int, folder: Path) -> None:
    """Download as the seed document does."""
    import requests

    headers = {"Authorization": f"Bearer {KEY}"}
    status = requests.get(f"{gateway}/v1/videos/video_{size}", headers=headers, timeout=60).json()
    assert status["status"] == "completed"
    content = requests.get(f"{gateway}/v1/videos/video_{size}/content", headers=headers, stream=True, timeout=60)
    assert "video" in content.headers["Content-Type"]
    with open(folder / "seed.mp4", "wb") as file:
        for chunk in content.iter_content(chunk_size=8192):
            file.write(chunk)


def by_curl(gateway: str, size: int, folder: Path) -> None:
    url = f"{gateway}/v1/videos/video_{size}/content"
    subprocess.run(
        ["curl", "-sSf", "-H", f"Authorization: Bearer {KEY}", "-o", str(folder / "curl.mp4"), url], check=True
    )


def by_hook(gateway: str, size: int, folder: Path | str) -> None:
    from airflow_provider_wisdomgate.hooks import WisdomGateHook

    stored = WisdomGateHook().download_video(f"video_{size}", f"{folder}/ours.mp4", if_exists="replace")
    assert (stored.size, stored.width, stored.duration) == (size, 1280, 8.0)


def by_operator(gateway: str, size: int, folder: Path) -> None:
    from airflow.providers.amazon.aws.transfers.http_to_s3 import HttpToS3Operator

    operator = HttpToS3Operator(
        task_id="download",
        endpoint=f"/v1/videos/video_{size}/content",
        headers={"Authorization": f"Bearer {KEY}"},
        s3_bucket=BUCKET,
        s3_key="operator.mp4",
        replace=True,
    )
    operator.execute({})


def by_hook_to_s3(gateway: str, size: int, folder: Path) -> None:
    by_hook(gateway, size, f"s3://aws_default@{BUCKET}")


COMPETITORS: dict[str, Callable[[str, int, Path], None]] = {
    "seed": by_seed,
    "curl": by_curl,
    "ours": by_hook,
    "HttpToS3Operator": by_operator,
    "ours-s3": by_hook_to_s3,
}

# ------------------------------------------------------------------------------------------ measuring


def compete(name: str, gateway: str, size: int, folder: Path) -> Facts:
    """Download a small clip, then the measured one, and say what that took. Runs in a process of its own."""
    download = COMPETITORS[name]
    download(gateway, SMALL, folder)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    before, cpu, begin = memory("VmRSS"), cpu_seconds(), time.perf_counter()
    download(gateway, size, folder)
    wall = time.perf_counter() - begin
    return {"wall": wall, "cpu": cpu_seconds() - cpu, "growth": memory("VmHWM") - before}


def memory(field: str) -> float:
    """Read a size of this process, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextmanager
def server(name: str) -> Iterator[str]:
    """Run one of the servers of this file in a process of its own; gives its base URL."""
    command = [sys.executable, __file__, "--serve", name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


def run(names: tuple[str, ...], size: int, rounds: int, gateway: str, environment: dict[str, str]) -> dict[str, Facts]:
    """Let each run once per round, in turning order, and return the medians."""
    seen: dict[str, list[Facts]] = {name: [] for name in names}
    for shift in range(rounds):
        for name in names[shift % len(names) :] + names[: shift % len(names)]:
            with tempfile.TemporaryDirectory(prefix="wisdomgate-bench-") as folder:
                command = [sys.executable, __file__, "--compete", name, gateway, str(size), folder]
                done = subprocess.run(
                    command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
                )
                if done.returncode:
                    sys.exit(f"{name} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
                seen[name].append(json.loads(done.stdout.splitlines()[-1]))
            os.sync()
    return {
        name: {fact: statistics.median(one[fact] for one in facts) for fact in facts[0]} for name, facts in seen.items()
    }


# ------------------------------------------------------------------------------------------ the table


def table(title: str, results: dict[str, Facts], wall_of: str, cpu_of: str) -> None:
    print(f"\n{title}\n{'':18}{'wall s':>8}{f'x {wall_of}':>20}{'CPU s':>8}{f'x {cpu_of}':>20}{'peak +MiB':>11}")
    for name, facts in results.items():
        growth = "" if name == "curl" else f"{facts['growth']:.1f}"  # it is a child of the process measured
        print(
            f"{name:18}{facts['wall']:8.2f}{ratio(results, name, wall_of, 'wall'):>20}"
            f"{facts['cpu']:8.2f}{ratio(results, name, cpu_of, 'cpu'):>20}{growth:>11}"
        )


def ratio(results: dict[str, Facts], name: str, other: str, fact: str) -> str:
    return f"{results[name][fact] / results[other][fact]:.2f}" if other in results else "none"


def target(text: str, value: float, limit: float) -> None:
    print(f"{'met   ' if value <= limit else 'MISSED'}  {text}: {value:.2f}, at most {limit:g}")


def bytes_of(text: str) -> int:
    units = {"KiB": 1024, "MiB": MIB, "GiB": 1024**3}
    return int(float(text[:-3]) * units[text[-3:]]) if text[-3:] in units else int(text)


def to_local_disk(size: int, rounds: int, gateway: str, environment: dict[str, str]) -> None:
    names = LOCAL if shutil.which("curl") else tuple(name for name in LOCAL if name != "curl")
    results = run(names, size, rounds, gateway, environment)
    table(f"To local disk, {size / MIB:,.0f} MiB, medians of {rounds} rounds", results, "curl", "seed")
    ours = results["ours"]
    if "curl" in results:
        target("wall, ours to curl", ours["wall"] / results["curl"]["wall"], 1.3)
    else:
        print("curl is missing: no ratio to it")
    target("CPU, ours to the seed's loop", ours["cpu"] / results["seed"]["cpu"], 0.6)
    target("peak growth in MiB", ours["growth"], 32)


def to_s3(size: int, rounds: int, gateway: str, environment: dict[str, str]) -> None:
    import boto3

    with server("s3") as endpoint:
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket=BUCKET)
        extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
        aws = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
        environment = {**environment, "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws)}
        results = run(S3, size, rounds, gateway, environment)
    first, ours = (results[name] for name in S3)
    table(f"To S3 (moto: most of it is its time), {size / MIB:,.0f} MiB, {rounds} rounds", results, S3[0], S3[0])
    target("wall, ours to HttpToS3Operator", ours["wall"] / first["wall"], 1.0)
    target("peak growth in MiB", ours["growth"], 64)  # parts that leave in parallel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=bytes_of, default="1GiB", help="of the clip for local disk (default 1GiB)")
    parser.add_argument("--s3-size", type=bytes_of, default="128MiB", help="of the clip for S3 (default 128MiB)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("local", "s3"))
    parser.add_argument("--serve", choices=("gateway", "s3"), help=argparse.SUPPRESS)
    parser.add_argument("--compete", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve_s3() if options.serve == "s3" else serve_gateway()
    if options.compete:
        name, gateway, size, folder = options.compete
        print(json.dumps(compete(name, gateway, int(size), Path(folder))))
        return None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end too
    with server("gateway") as gateway:
        environment = {
            f"AIRFLOW_CONN_{kind}_DEFAULT": json.dumps({"conn_type": kind.lower(), "host": gateway, "password": KEY})
            for kind in ("WISDOMGATE", "HTTP")
        }
        if options.only != "s3":
            to_local_disk(options.size, options.rounds, gateway, environment)
        if options.only != "local":
            to_s3(options.s3_size, options.rounds, gateway, environment)
    return None


if __name__ == "__main__":
    main()
