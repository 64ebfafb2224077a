"""Makes a suite: chooses traces, and writes down what must be seen on each."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from kvref.errors import UserError
from kvref.fuzz.cases import is_careful
from kvref.operations import Trace
from kvref.targets.picture import Opener
from kvref.vectors.choose import choose
from kvref.vectors.expect import Checked, expect
from kvref.vectors.form import FORMAT, Vector, VectorFile, schema, text_of
from kvref.vectors.page import page
from kvref.vectors.rules import rules_of
from kvref.vectors.suite import MANIFEST, manifest_of, read_suite, write_files

FOUND = "found"


@dataclass(frozen=True)
class Generated:
    """All files of a suite but the page for who writes a runner, and what was checked meanwhile."""

    files: Mapping[str, bytes]
    vectors: int
    checked: Checked


def generate(
    seed: int, cases: int, found: Mapping[str, VectorFile], opener: Opener, on_case: Callable[[int], None]
) -> Generated:
    """A suite of the cases of a seed, and of what was `found`: of that only the traces are taken."""
    checked = Checked()
    files: dict[str, VectorFile] = {}
    for feature, chosen in choose(seed, cases, opener, on_case).traces().items():
        slug = _slug(feature)
        vectors = []
        for what, trace in chosen:
            cell = (feature, what)
            name = f"{slug}/{_slug(what)}"
            vector = _bare(name, (f"{feature}: {what}",), rules_of(cell), trace)
            careful = is_careful(trace.case or 0)
            vectors.append(expect(vector, trace, opener, checked, careful=careful))
        files[f"{slug}.json"] = VectorFile(FORMAT, feature, tuple(vectors))
    for path, file in found.items():
        again = [replace(v, initial={}, steps=(), refused=None) for v in file.vectors]
        pairs = zip(again, file.vectors, strict=True)
        vectors = [expect(bare, old.trace(), opener, checked, careful=False) for bare, old in pairs]
        files[path] = replace(file, vectors=tuple(vectors))
    return Generated(assemble(seed, cases, files), sum(len(f.vectors) for f in files.values()), checked)


def add(folder: Path, name: str, rules: tuple[str, ...], trace: Trace, opener: Opener) -> Path:
    """Keep a trace as a vector of the suite. Raises UserError if the name is taken, or not a file's."""
    if not name or name != _slug(name):
        raise UserError(f"--name {name!r}: use small letters, digits and hyphens")
    manifest, files = read_suite(folder)
    path = f"{FOUND}/{name}.json"
    if path in files:
        raise UserError(f"{folder / path} is there already: choose another --name")
    bare = _bare(f"{FOUND}/{name}", (FOUND,), rules, trace)
    vector = expect(bare, trace, opener, Checked(), careful=False)
    files[path] = VectorFile(FORMAT, FOUND, (vector,))
    write_files(folder, assemble(manifest.seed, manifest.cases, files))
    return folder / path


def assemble(seed: int, cases: int, files: Mapping[str, VectorFile]) -> dict[str, bytes]:
    """The texts of all files, the manifest last."""
    files = dict(sorted(files.items()))
    texts = {path: text_of(file) for path, file in files.items()}
    texts |= {"schema.json": schema(), "COVERAGE.md": page(files).encode()}
    counts = {path: len(file.vectors) for path, file in files.items()}
    return texts | {MANIFEST: manifest_of(seed, cases, texts, counts)}


def _bare(name: str, covers: tuple[str, ...], rules: tuple[str, ...], trace: Trace) -> Vector:
    return Vector(name, covers, rules, trace.configuration, seed=trace.seed, case=trace.case, note=trace.note)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
