"""A long recording replayed: wall time, processor time and memory, at two lengths, to see that memory is flat.

A small engine on vLLM's real scheduler is recorded once, and its requests are repeated.

    python benchmarks/replay.py [--operations 1000000]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
RELEASE = "0.23.0"
TARGETS = ("recorded", "optimized")
PARTS = (10, 1)
"""A tenth of it, and all of it."""


def main() -> None:
    """Record, lengthen and replay."""
    from kvref.targets.vllm import environment  # noqa: PLC0415 - it looks for environments

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=1_000_000)
    count = parser.parse_args().operations
    python = str(environment.python_for(RELEASE, progress=print))
    with tempfile.TemporaryDirectory(prefix="kvref-") as folder:
        short = Path(folder) / "short.kvr"
        engine = [python, str(ROOT / "tests" / "record" / "engine.py"), "1", "600", "hybrid"]
        run("-m", "kvref.cli", "record", "--out", str(short), "--", *engine)
        print("| operations | bytes | target | wall, s | processor, s | most memory, MB |")
        print("| ---: | ---: | --- | ---: | ---: | ---: |")
        for part in PARTS:
            path = Path(folder) / f"{part}.kvr"
            run(str(ROOT / "tools" / "long_recording.py"), str(short), str(path), str(count // part))
            for target in TARGETS:
                wall, used, most = run("-m", "kvref.cli", "replay", str(path), "--target", target)
                size = path.stat().st_size
                print(
                    f"| {count // part:,} | {size:,} | {target} | {wall:.0f} | {used:.0f} | {most:.0f} |",
                    flush=True,
                )


def run(*words: str) -> tuple[float, float, float]:
    """Run Python: wall time, processor time, and the most memory that it had."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen([sys.executable, *words], stdout=told, stderr=told)  # noqa: S603 - ours
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            told.seek(0)
            sys.exit(f"{' '.join(words)}: {told.read().decode()}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


if __name__ == "__main__":
    main()
