"""The form of a vector file, and of the manifest that names all files of a suite."""

from typing import Any, Literal

import msgspec

from kvref.operations import Configuration, Observation, Operation, Trace
from kvref.targets.picture import Picture
from kvref.vectors.state import State, changed, state_of, view_of
from kvref.vectors.state import change as change_of

FORMAT: Literal[1] = 1


class Step(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An operation, what it returned, and what it changed: a JSON Merge Patch (RFC 7396) to the state.

    Behind an error the state is not told: a vector ends with it.
    """

    operation: Operation
    returned: Observation
    changed: dict[str, Any] = {}


class Vector(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A trace with what must be seen. `covers` tells what it was chosen for, `rules` what that is about.

    `initial` is the state of a new manager. `refused` tells why none can be built: then there are no steps.
    """

    name: str
    covers: tuple[str, ...]
    rules: tuple[str, ...]
    configuration: Configuration
    initial: dict[str, Any] = {}
    steps: tuple[Step, ...] = ()
    refused: str | None = None
    seed: int | None = None
    case: int | None = None
    note: str | None = None

    def trace(self) -> Trace:
        """The operations alone."""
        operations = tuple(step.operation for step in self.steps)
        return Trace(self.configuration, operations, seed=self.seed, case=self.case, note=self.note)

    def pictures(self) -> list[Picture]:
        """What must be seen after each operation. Raises what a state of another form leads to."""
        state: State = self.initial
        seen = []
        for step in self.steps:
            state = changed(state, step.changed)
            seen.append(Picture(step.returned, view_of(state, self.configuration.num_blocks)))
        return seen


class VectorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vectors of one feature."""

    format: Literal[1]
    feature: str
    vectors: tuple[Vector, ...]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the suite, its path from the manifest's folder, and how many vectors it has."""

    path: str
    sha256: str
    vectors: int = 0


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All files of a suite, and what it was chosen from: so many cases of a seed."""

    format: Literal[1]
    seed: int
    cases: int
    files: tuple[Entry, ...]


def steps_of(initial: State, trace: Trace, pictures: list[Picture]) -> tuple[Step, ...]:
    """The steps of a trace, from what was seen after each."""
    before, steps = initial, []
    for operation, (seen, view) in zip(
        trace.operations, ((p.observation, p.view) for p in pictures), strict=True
    ):
        after = before if seen.error else state_of(view)
        steps.append(Step(operation, seen, change_of(before, after)))
        before = after
    return tuple(steps)


def text_of(file: VectorFile) -> bytes:
    """The file as JSON, one line a step, so that a person can read it."""
    lines = [f'{{"format": {file.format}, "feature": {_json(file.feature)}, "vectors": [']
    for place, vector in enumerate(file.vectors):
        head = _json(msgspec.structs.replace(vector, steps=()))
        lines.append(head.removesuffix("}") + (', "steps": [' if vector.steps else "}"))
        lines += [f" {_json(step)}{',' if step is not vector.steps[-1] else ''}" for step in vector.steps]
        lines += ["]}"] if vector.steps else []
        lines[-1] += "," if place < len(file.vectors) - 1 else ""
    return "\n".join([*lines, "]}", ""]).encode()


def schema() -> bytes:
    """The JSON Schema of a vector file."""
    text = msgspec.json.encode(msgspec.json.schema(VectorFile), order="deterministic")
    return msgspec.json.format(text, indent=1) + b"\n"


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
