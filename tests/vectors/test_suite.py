"""A suite is what its manifest names; whatever is wrong with one is told in one line."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kvref.errors import UserError
from kvref.vectors.form import text_of
from kvref.vectors.suite import read_found, read_suite, write_files
from tests.vectors.suites import small, written


def edited(folder: Path, name: str, edit: Callable[[Any], object]) -> None:
    """Change a file and its hash in the manifest: only what is in it is wrong."""
    path, manifest = folder / name, folder / "manifest.json"
    value = json.loads(path.read_bytes())
    edit(value)
    path.write_text(json.dumps(value))
    named = json.loads(manifest.read_bytes())
    for entry in named["files"]:
        if entry["path"] == name:
            entry["sha256"] = sha256(path.read_bytes()).hexdigest()
    if name != "manifest.json":
        manifest.write_text(json.dumps(named))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    manifest, files = read_suite(written(tmp_path))
    assert (manifest.seed, manifest.cases) == (7, 60)
    assert {entry.path for entry in manifest.files} == small().files.keys() - {"manifest.json"}
    assert sum(len(file.vectors) for file in files.values()) == small().vectors
    for path, file in files.items():
        assert text_of(file) == small().files[path]


def test_every_file_follows_the_schema() -> None:
    schema = json.loads(small().files["schema.json"])
    files = [raw for path, raw in small().files.items() if path.endswith(".json")]
    vectors = [value for raw in files if "feature" in (value := json.loads(raw))]
    assert len(vectors) == len(files) - 2  # the manifest, and the schema itself
    for value in vectors:
        jsonschema.validate(value, schema)
    vectors[0]["vectors"][0]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(vectors[0], schema)


def test_a_step_is_a_line(tmp_path: Path) -> None:
    text = (written(tmp_path) / "full.json").read_text()
    for vector in json.loads(text)["vectors"]:
        for step in vector.get("steps", []):
            assert sum(
                json.loads(line.strip().rstrip(",")) == step for line in text.splitlines() if line[0] == " "
            )


def test_a_file_that_is_not_the_manifests(tmp_path: Path) -> None:
    path = written(tmp_path) / "full.json"
    path.write_bytes(path.read_bytes().replace(b'"seed": 7', b'"seed": 8', 1))
    with pytest.raises(
        UserError, match=r"full\.json is not the file that .*manifest\.json names: its SHA-256"
    ):
        read_suite(tmp_path)


def test_a_page_is_held_against_its_hash_too(tmp_path: Path) -> None:
    (written(tmp_path) / "COVERAGE.md").write_text("nothing")
    with pytest.raises(UserError, match=r"COVERAGE\.md is not the file"):
        read_suite(tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "full.json"])
def test_a_format_of_the_future(tmp_path: Path, name: str) -> None:
    edited(written(tmp_path), name, lambda value: value.update(format=2))
    with pytest.raises(
        UserError, match=rf"{name} has format 2, and this kvref reads format 1: update kvref$"
    ):
        read_suite(tmp_path)


def test_a_cut_file(tmp_path: Path) -> None:
    path = written(tmp_path) / "manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"manifest\.json is not of format 1: Input data was truncated"):
        read_suite(tmp_path)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda v: v["steps"][0]["operation"].update(type="Jump"), "Invalid value 'Jump'"),
        (lambda v: v["steps"][0].pop("returned"), "missing required field `returned`"),
        (lambda v: v["initial"].pop("free_queue"), r"full/\S+ has a state of another form: KeyError"),
        (lambda v: v["initial"].update(keys={"1": "xyz"}), "has a state of another form: ValueError"),
        (lambda v: v["initial"].update(ref_counts=[1]), "has a state of another form: AttributeError"),
        (lambda v: v["initial"].update(step_keys=[1]), "has a state of another form: TypeError"),
    ],
)
def test_a_file_of_another_form(tmp_path: Path, edit: Callable[[Any], object], told: str) -> None:
    edited(written(tmp_path), "full.json", lambda value: edit(value["vectors"][0]))
    with pytest.raises(UserError, match=told):
        read_suite(tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"manifest\.json cannot be read .*: name a folder that kvref vectors"
    ):
        read_suite(tmp_path)
    (written(tmp_path) / "full.json").unlink()
    with pytest.raises(UserError, match=r"full\.json cannot be read \(No such file"):
        read_suite(tmp_path)


def test_what_was_found_needs_no_manifest(tmp_path: Path) -> None:
    assert read_found(tmp_path) == {}
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "b.json").write_bytes(small().files["full.json"])
    assert list(read_found(tmp_path)) == ["found/b.json"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        write_files(tmp_path / "file", {"a.json": b""})
