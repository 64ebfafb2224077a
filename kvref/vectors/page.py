"""The coverage page of a suite: which vectors have which feature, event, operation and rule."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from kvref.fuzz.coverage import EVENTS, ROWS
from kvref.vectors.choose import MISTAKES, OPERATIONS, Cell, Moments
from kvref.vectors.form import Vector, VectorFile
from kvref.vectors.state import view_of

HEAD = """\
# What the vectors cover

`kvref vectors generate` writes this page. A number counts the vectors in which it happens, whatever they
were chosen for; `-` stands for none.
"""


def page(files: Mapping[str, VectorFile]) -> str:
    """The page, as Markdown."""
    vectors = [vector for file in files.values() for vector in file.vectors]
    counts: dict[Cell, int] = defaultdict(int)
    rules: dict[str, list[str]] = defaultdict(list)
    for vector in vectors:
        for cell in _cells(vector):
            counts[cell] += 1
        for rule in vector.rules:
            rules[rule].append(vector.name)
    features = [[row, *(str(counts[row, event] or "-") for event in EVENTS)] for row in ROWS]
    others = [
        [*cell, str(count)] for cell, count in sorted(counts.items()) if cell[0] in (OPERATIONS, MISTAKES)
    ]
    each = [
        [f"`{v.name}`", str(len(v.steps)), "; ".join(v.covers), ", ".join(v.rules) or "-"] for v in vectors
    ]
    about = [
        [rule, str(len(names)), f"`{names[0]}`"] for rule, names in sorted(rules.items(), key=_rule_order)
    ]
    return "\n".join(
        [
            HEAD,
            *_table("Kinds and features", ("kind or feature", *EVENTS), features),
            *_table("Operations and mistakes", ("of", "what happens", "vectors"), others),
            *_table("Rules", ("rule", "vectors", "the first"), about),
            *_table("Vectors", ("vector", "operations", "chosen for", "rules"), each),
        ]
    )


def _cells(vector: Vector) -> Iterable[Cell]:
    """The cells that a vector fills."""
    if vector.refused is not None:
        return ()
    moments = Moments(vector.configuration, view_of(vector.initial, vector.configuration.num_blocks))
    for step, picture in zip(vector.steps, vector.pictures(), strict=True):
        moments.see(step.operation, picture.observation, picture.view)
    return moments.first


def _rule_order(entry: tuple[str, list[str]]) -> tuple[str, int]:
    area, _, number = entry[0].partition("-")
    return area, int(number) if number.isdigit() else 0


def _table(title: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = tuple(head)
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows)]
    return [f"## {title}", "", *lines, ""]
