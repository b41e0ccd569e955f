"""Starts the far side as processes of its own: the sandbox gateway and moto's S3. For proofs and benchmarks."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deployment import BIN


@contextmanager
def server(command: list[str], ready: str, home: Path | None = None) -> Iterator[str]:
    """Start a server and yield the line that says it is ready. Its log is in ``home`` meanwhile."""
    with tempfile.NamedTemporaryFile("w+", dir=home) as log:  # not a pipe: an undrained one stops the server in the end
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            while not (lines := [line for line in Path(log.name).read_text().splitlines() if ready in line]):
                if process.poll() is not None:
                    raise RuntimeError(f"{command[0]} ended: {Path(log.name).read_text()}")
                time.sleep(0.05)
            yield lines[0].strip()
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def sandbox(*options: str, home: Path | None = None) -> Iterator[str]:
    """Start the sandbox on a free port; yields its URL."""
    command = [str(BIN / "wisdomgate-sandbox"), "--port=0", "--print-url", *options]
    with server(command, "WISDOMGATE_SANDBOX_URL=", home) as line:
        yield line.partition("=")[2]


@contextmanager
def s3(home: Path | None = None) -> Iterator[str]:
    """Start moto's S3 on a free port; yields its URL."""
    with server([str(BIN / "moto_server"), "-p", "0"], "Running on http://", home) as line:
        yield "http" + line.rpartition("http")[2]
