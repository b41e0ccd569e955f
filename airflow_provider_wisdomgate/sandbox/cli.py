"""The command `wisdomgate-sandbox`. Never leaves loopback, never needs a key that is worth anything."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from airflow_provider_wisdomgate.sandbox.directives import explain

DESCRIPTION = """\
A local stand-in for the WisdomGate video routes: it renders real H.264 MP4s with the prompt drawn into the picture, and
misbehaves on request. It is no gateway and makes no AI video; it binds loopback only and costs nothing."""
LENGTHS = """\
Lengths: sora* takes seconds as a string, "4" "8" or "12" (also "1" and "2", for quick tests); doubao-seedance-* takes
duration as an integer from 4 to 15 (1 to 3 tolerated); any other model takes either.
Sizes: WIDTHxHEIGHT, both even, from 16 to 4096.
Controls: GET /_sandbox/counts /_sandbox/videos /_sandbox/requests; POST /_sandbox/reset
/_sandbox/down?seconds=&method= /_sandbox/burst?status=&seconds=&retry_after=&code=&method=
/_sandbox/limit?requests_per_minute="""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wisdomgate-sandbox",
        description=DESCRIPTION,
        epilog=f"{LENGTHS}\n\n{explain()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--api-key", default="sandbox-key", help="the key that must be sent (default: %(default)s)")
    parser.add_argument(
        "--render-seconds", type=float, default=2.0, help="until a video is made (default: %(default)s)"
    )
    parser.add_argument("--requests-per-minute", type=int, help="answer 429 beyond that (default: no limit)")
    parser.add_argument("--expires-after", type=float, default=3600.0, help="seconds content stays (default: an hour)")
    parser.add_argument(
        "--dialect",
        default="wisdomgate",
        help="speak like wisdomgate, openai, new-api, litellm, sglang, vllm-omni, bifrost, aisix, openrouter or merge, "
        "as read in their sources and documents (default: %(default)s)",
    )
    parser.add_argument(
        "--print-url", action="store_true", help="when ready, print only WISDOMGATE_SANDBOX_URL=http://..."
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM."""
    arguments = parser().parse_args(argv)
    try:
        from airflow_provider_wisdomgate.sandbox.server import Sandbox
    except ModuleNotFoundError as missing:
        print(f"{missing}. Run: pip install 'airflow-provider-wisdomgate[sandbox]'", file=sys.stderr)
        return 1
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        sandbox = Sandbox(
            arguments.api_key,
            host=arguments.host,
            port=arguments.port,
            render_seconds=arguments.render_seconds,
            requests_per_minute=arguments.requests_per_minute,
            expires_after=arguments.expires_after,
            dialect=arguments.dialect,
        ).start()
    except (OSError, OverflowError, ValueError) as problem:
        print(f"wisdomgate-sandbox: {problem}", file=sys.stderr)
        return 2
    _announce(sandbox.url, sandbox.api_key, only_url=arguments.print_url)
    ended.wait()
    sandbox.stop()
    return 0


def _announce(url: str, api_key: str, *, only_url: bool) -> None:
    if only_url:
        print(f"WISDOMGATE_SANDBOX_URL={url}", flush=True)
        return
    print(f"wisdomgate-sandbox at {url}, API key {api_key!r}. No gateway, no AI video. Ctrl+C ends it.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
