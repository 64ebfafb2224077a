"""A small suite, made once."""

from functools import cache
from pathlib import Path

from kvref.targets.reference import ReferenceSession
from kvref.vectors.generate import Generated, generate

COMMITTED = Path(__file__).parents[2] / "vectors"


@cache
def small() -> Generated:
    """A suite of few cases."""
    return generate(7, 60, {}, ReferenceSession, lambda _: None)


def written(folder: Path) -> Path:
    """The small suite, on disk."""
    for path, raw in small().files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(raw)
    return folder
