"""Makes a virtual environment of the project: `python3 tools/set_up.py .venv requirements-dev.txt`.

Needs nothing but Python and a package index. What can't work takes one line, and exit code 2.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

OLDEST = (3, 11)
ATTEMPTS = 3
PAUSE_SECONDS = 10
UNREACHABLE = (
    "NewConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "Retry(total=0",
    "Temporary failure in name",
)


def give_up(line: str) -> NoReturn:
    """End with one line."""
    sys.stderr.write("set-up: " + line + "\n")
    sys.exit(2)


if sys.version_info < OLDEST:
    give_up("Python 3.11 or newer is needed, this is %d.%d: make PYTHON=python3.12" % sys.version_info[:2])


def call(command: list[str], log: Path) -> str | None:
    """Run a command; None if it succeeds, else the end of what it said."""
    with log.open("a") as file:
        file.write(" ".join(command) + "\n")
        file.flush()
        start = file.tell()
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    return None if code == 0 else log.read_text(errors="replace")[start:]


def install(python: Path, log: Path, *arguments: str) -> None:
    """Install with the environment's pip, tried again where the index does not answer."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--retries", "3", *arguments]
    for attempt in range(ATTEMPTS):
        said = call(command, log)
        if said is None:
            return
        if not any(sign in said for sign in UNREACHABLE):
            errors = [line.strip() for line in said.splitlines() if "rror" in line]
            give_up(f"pip failed: {errors[-1] if errors else 'no reason given'} (log: {log})")
        if attempt + 1 < ATTEMPTS:
            time.sleep(PAUSE_SECONDS)
    give_up(f"the package index cannot be reached: see to the network or pip's configuration (log: {log})")


def main() -> None:
    """Build the environment from a list of requirements, and mark it ready."""
    folder, requirements = Path(sys.argv[1]), sys.argv[2]
    root = Path(__file__).resolve().parent.parent
    log = folder / "set-up.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if call([sys.executable, "-m", "venv", str(folder)], log) is not None:
            give_up(f"venv failed: install your system's package for it, such as python3-venv (log: {log})")
        python = folder / "bin" / "python"
        print(f"set-up: installing {requirements} into {folder}", flush=True)
        if "\ntorch==" in (root / requirements).read_text():
            print(
                "set-up: with torch: 1 GB from an index of CPU builds, else with CUDA several GB", flush=True
            )
        install(python, log, "-r", str(root / requirements))
        install(python, log, "--no-deps", "--no-build-isolation", "-e", str(root))
        (folder / ".ready").touch()
    except OSError as failure:
        give_up(f"{failure.filename}: {failure.strerror}")


if __name__ == "__main__":
    main()
