"""Runs vLLM 0.23.0's own tests on kvref's managers: `python tools/vllm_suite.py [MANAGER ...]`, else on all.

Exit code 0 if the outcome is what kvref/compat/vllm/SUITE.md says, 1 if not, 2 if the tests cannot be had.
"""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import NoReturn

import platformdirs

from kvref.compat.vllm.backing import managers

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "kvref" / "compat" / "vllm" / "SUITE.md"
DISTRIBUTION = "vllm-0.23.0"
DIGEST = "760269db3d9611e12e524681df1bca0977d5d2f5fcb4481cc34d33efc4ae7ff5"
ATTEMPTS = 3
PAUSE_SECONDS = 10


def give_up(line: str) -> NoReturn:
    """End with one line."""
    sys.stderr.write(f"vllm-suite: {' '.join(line.split())}\n")
    sys.exit(2)


def counts() -> dict[str, tuple[int, int]]:
    """How many tests of each file pass, and how many are out, as the page says."""
    rows = re.findall(r"^\| `(test_\w+\.py)` \| (\d+) \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    return {file: (int(passing), int(out)) for file, passing, out in rows}


def reasons() -> dict[str, str]:
    """Why a test is out, by its name."""
    return dict(re.findall(r"^\| `(test_\w+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE))


def fetch(folder: Path) -> Path:
    """Download the source distribution, unless it is there already."""
    archive = folder / f"{DISTRIBUTION}.tar.gz"
    if archive.exists() and hashlib.sha256(archive.read_bytes()).hexdigest() == DIGEST:
        return archive
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        wanted = Path(fresh) / "requirements.txt"
        wanted.write_text(f"{DISTRIBUTION.replace('-', '==')} --hash=sha256:{DIGEST}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        command += ["--no-binary", "vllm", "--require-hashes", "-r", str(wanted), "-d", fresh]
        asked = {"VLLM_TARGET_DEVICE": "empty", "VLLM_VERSION_OVERRIDE": "0.23.0"}
        print(f"vllm-suite: downloading the source distribution of {DISTRIBUTION} into {folder}", flush=True)
        for attempt in range(ATTEMPTS):
            done = subprocess.run(
                command, env={**os.environ, **asked}, capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return (Path(fresh) / archive.name).replace(archive)
            if attempt + 1 < ATTEMPTS:
                time.sleep(PAUSE_SECONDS)
    last = (done.stderr.strip() or "no reason given").splitlines()[-1]
    give_up(f"the source distribution cannot be downloaded: {last}; see to the package index and try again")


def outcome(archive: Path, files: list[str], manager: str) -> dict[tuple[str, str], bool]:
    """Run the files; whether each test passed, by file and name."""
    with tempfile.TemporaryDirectory() as work, tarfile.open(archive) as packed:
        for file in files:
            member = packed.extractfile(f"{DISTRIBUTION}/tests/v1/core/{file}")
            assert member is not None  # noqa: S101 - the archive's digest is pinned
            (Path(work) / file).write_bytes(member.read())
        command = [sys.executable, "-m", "kvref.compat.vllm", "--manager", manager, "--", "pytest", "-q"]
        command += ["-p", "no:cacheprovider", "--junitxml=report.xml", *files]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        report = Path(work) / "report.xml"
        if not report.exists():
            sys.stderr.write(done.stdout + done.stderr)
            give_up("pytest did not run to its end: see above")
        cases = ET.parse(report).iter("testcase")  # noqa: S314 - our own report
        return {
            (case.get("classname", "").partition(".")[0] + ".py", case.get("name", "")): len(case) == 0
            for case in cases
        }


def differences(manager: str, archive: Path) -> list[str]:
    """Tell the outcome on one manager, and give what is not as the page says."""
    expected, out = counts(), reasons()
    seen = outcome(archive, list(expected), manager)
    passed = Counter(file for (file, _), good in seen.items() if good)
    failed = Counter(file for (file, _), good in seen.items() if not good)
    wrong = [
        f"{manager}: {file}: {name} {'passes, but the page has it out' if good else 'fails'}"
        for (file, name), good in seen.items()
        if good == (name.partition("[")[0] in out)
    ]
    for file, (passing, left_out) in expected.items():
        print(f"{file:40} {passed[file]:4} passed {failed[file]:4} out of scope")
        if (passed[file], failed[file]) != (passing, left_out):
            wrong.append(f"{manager}: {file}: the page says {passing} and {left_out}")
    print(f"vLLM 0.23.0's own tests on the {manager} manager: {passed.total()} passed", flush=True)
    return wrong


def main() -> None:
    """Run the tests, and hold the outcome against the page."""
    cache = Path(os.environ.get("KVREF_CACHE_DIR") or platformdirs.user_cache_path("kvref")).absolute()
    try:
        archive = fetch(cache)
        wrong = [line for manager in sys.argv[1:] or managers() for line in differences(manager, archive)]
    except OSError as failure:
        give_up(f"{failure.filename or cache}: {failure.strerror}")
    if wrong:
        sys.stderr.write("\n".join(["not what SUITE.md says:", *wrong, ""]))
        sys.exit(1)


if __name__ == "__main__":
    main()
