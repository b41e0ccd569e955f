"""What `wisdomgate clips verify` costs: time and peak memory over many small clips. Run by ./scripts/bench verify.

One byte of one clip is flipped: it has to be found, and nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from airflow_provider_wisdomgate.clips.stores import open_store
from airflow_provider_wisdomgate.clips.stores.base import Store
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.sandbox.render import padded, render
from tests import servers

MEASURE = """
import resource, sys, time
from airflow_provider_wisdomgate.cli.main import main
start = time.perf_counter()
try:
    main(sys.argv[1:])
except SystemExit as end:
    status = end.code
else:
    status = 0
took = time.perf_counter() - start
print("MEASURED", status, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)
"""


def fill(folder: str, count: int, size: int) -> str:
    """Keep so many clips, a hundred to a folder below; return the URI of the one with a flipped byte."""
    clip = padded(render("a cat", (64, 48), 1, "mp4"), size)
    data = b"".join(clip.chunks(0, clip.size))
    wrong = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    digest, bad, anyone = hashlib.sha256(data).hexdigest(), count * 2 // 3, open_store(f"{folder}/any")
    for number in range(count):
        one = anyone.sibling(f"{number // 100:03}/clip-{number:05}.mp4")
        now = time.time()
        made_by = {"dag_id": "bench", "run_id": f"run-{number}", "task_id": "clip", "map_index": -1}
        words = {"fingerprint": digest, "request": {"model": "any", "prompt": "a cat"}, "made_by": made_by}
        record = Manifest(
            "stored", "claim", one.uri, now, f"video_{number}", **words, stored_at=now, size=len(data), sha256=digest
        )
        put(one, record.dump(), wrong if number == bad else data)
    return anyone.sibling(f"{bad // 100:03}/clip-{bad:05}.mp4").uri


def put(one: Store, manifest: bytes, clip: bytes) -> None:
    """Write both files; local ones directly, since the store syncs each to the disk."""
    for suffix, data in (("", clip), (".json", manifest)):
        if one.uri.startswith("file://"):
            path = Path(one.uri.removeprefix("file://") + suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        else:
            one.create(suffix, data)


def measure(*argv: str) -> tuple[str, int, float, float]:
    """Run a command in a fresh process: its output, exit status, seconds, and peak memory in MiB."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *argv], capture_output=True, text=True, timeout=3600)
    status, took, peak = done.stderr.rpartition("MEASURED ")[2].split()
    return done.stdout, int(status), float(took), float(peak)


def run(folder: str, count: int, size: int) -> bool:
    """Fill a folder, verify and list it; whether exactly the flipped byte was found."""
    bad = fill(folder, count, size)
    _, _, _, base = measure("clips", "verify", f"{folder}/000", "-o", "json")
    out, status, took, peak = measure("clips", "verify", folder, "-o", "json")
    found = [row["uri"] for row in json.loads(out)]
    print(f"verify  {count} clips, {count * size / 1024**2:.0f} MiB: {took:.1f} s ({count / took:.0f} clips/s)")
    print(f"        peak memory {peak:.0f} MiB; of the first 100 clips alone {base:.0f} MiB")
    out, _, took, peak = measure("clips", "list", folder, "-o", "csv")
    print(f"list    {len(out.splitlines()) - 1} clips: {took:.1f} s, peak {peak:.0f} MiB")
    is_good = (found, status) == ([bad], 1)
    print(f"flipped byte: {'found, and nothing else' if is_good else f'WRONG: {found}, status {status}'}\n")
    return is_good


def main() -> int:
    """Print what it costs; exit status 1 where the flipped byte is not all that was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--size", type=int, default=20_000, help="bytes of each (default: %(default)s)")
    parser.add_argument("--s3-clips", type=int, default=500, help="how many in moto's S3 (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wisdomgate-verify-") as folder:
        print("Local files:")
        is_good = run(folder, arguments.clips, arguments.size)
        if arguments.s3_clips:
            import boto3

            print("moto's S3 on loopback:")
            with servers.s3(Path(folder)) as endpoint:
                extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
                aws = {"conn_type": "aws", "login": "any", "password": "any", "extra": extra}
                os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(aws)
                keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
                boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys).create_bucket(Bucket="clips")
                is_good = run("s3://aws_default@clips/kept", arguments.s3_clips, arguments.size) and is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
