"""A suite on disk: vector files, and a manifest with the hashes of all files. Every error is one line."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec

from kvref.errors import UserError
from kvref.vectors.form import FORMAT, Entry, Manifest, Vector, VectorFile

MANIFEST = "manifest.json"
_Read = TypeVar("_Read")


class _Versioned(msgspec.Struct):
    format: int


def read_suite(folder: Path) -> tuple[Manifest, dict[str, VectorFile]]:
    """The manifest, and the vector files by their path; each file is held against its hash."""
    manifest = _decode(folder / MANIFEST, _bytes(folder / MANIFEST), Manifest)
    files = {}
    for entry in manifest.files:
        path = folder / entry.path
        raw = _bytes(path)
        if sha256(raw).hexdigest() != entry.sha256:
            raise UserError(f"{path} is not the file that {folder / MANIFEST} names: its SHA-256 differs")
        if entry.vectors:
            files[entry.path] = _vectors(path, raw)
    return manifest, files


def read_found(folder: Path) -> dict[str, VectorFile]:
    """What was found elsewhere, `found/NAME.json`, by its path; named by a manifest or not."""
    paths = sorted((folder / "found").glob("*.json"))
    return {f"found/{path.name}": _vectors(path, _bytes(path)) for path in paths}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files. Raises UserError if one cannot be written."""
    for name, raw in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        except OSError as failure:
            raise UserError(
                f"{path} cannot be written ({failure.strerror}): choose another place"
            ) from failure


def manifest_of(seed: int, cases: int, files: Mapping[str, bytes], vectors: Mapping[str, int]) -> bytes:
    """The manifest of these files, of which some hold so many vectors."""
    entries = tuple(
        Entry(path, sha256(raw).hexdigest(), vectors.get(path, 0)) for path, raw in sorted(files.items())
    )
    manifest = Manifest(FORMAT, seed, cases, entries)
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def _vectors(path: Path, raw: bytes) -> VectorFile:
    file = _decode(path, raw, VectorFile)
    for vector in file.vectors:
        _require_states(path, vector)
    return file


def _require_states(path: Path, vector: Vector) -> None:
    """Whether the states can be read: they are plain JSON to the decoder."""
    try:
        vector.pictures()
    except (AttributeError, KeyError, TypeError, ValueError) as broken:
        raise UserError(f"{path}: {vector.name} has a state of another form: {broken!r}") from broken


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        what = "name a folder that kvref vectors generate wrote"
        raise UserError(f"{path} cannot be read ({failure.strerror}): {what}") from failure


def _decode(path: Path, raw: bytes, kind: type[_Read]) -> _Read:
    try:
        version = msgspec.json.decode(raw, type=_Versioned).format
        if version > FORMAT:
            raise UserError(
                f"{path} has format {version}, and this kvref reads format {FORMAT}: update kvref"
            )
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as broken:
        raise UserError(f"{path} is not of format {FORMAT}: {broken}; get the suite again") from broken
