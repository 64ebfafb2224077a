"""Builds the driver in Rust, and holds both example drivers against the reference, with a fixed seed.

The one in Rust must agree in everything; the dictionary must agree in hits until it says that it gives up.
`python tools/drivers.py [CASES]`, from the repository's root.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUST = ROOT / "examples" / "drivers" / "rust"
DICTIONARY = ROOT / "examples" / "drivers" / "python" / "driver.py"
GIVES_UP = "gives up: the next block is"
FINDINGS = ROOT / "findings" / "drivers"


def fuzz(command: str, level: str, cases: str) -> "subprocess.CompletedProcess[str]":
    """A campaign against a driver."""
    asked = [sys.executable, "-m", "kvref.cli", "fuzz", "--target-cmd", command, "--level", level]
    options = ["--cases", cases, "--seed", "1", "--findings", str(FINDINGS)]
    return subprocess.run([*asked, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)


def main(cases: str = "300") -> None:
    """Exits with one line if anything is not as it should."""
    cargo = shutil.which("cargo")
    if cargo is None:
        sys.exit("the driver in Rust is not built, because there is no cargo: https://rustup.rs installs it")
    built = subprocess.run(
        [cargo, "build", "--release", "--quiet", "--locked", "--offline"], cwd=RUST, check=False
    )
    if built.returncode:
        sys.exit("the driver in Rust does not build: see above")
    for level in ("exact", "hits"):
        rust = fuzz(str(RUST / "target" / "release" / "driver"), level, cases)
        sys.stdout.write("".join(f"{line}\n" for line in rust.stdout.splitlines()[-5:]))
        if rust.returncode:
            sys.exit(f"the driver in Rust does not agree at level {level}: see {FINDINGS}")
    dictionary = fuzz(f"{sys.executable} {DICTIONARY}", "hits", cases)
    sys.stdout.write(
        "".join(f"{line}\n" for line in dictionary.stdout.splitlines() if "findings" in line[:14])
    )
    if dictionary.returncode != 1 or GIVES_UP not in dictionary.stdout:
        sys.exit("the dictionary does not say where it ends")
    sys.stdout.write("the dictionary says where it ends: at the first eviction\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
