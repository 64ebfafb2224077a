"""No invariant goes without a test that shows it failing, nor without a plainer form that CrossHair holds it against."""

from collections.abc import Iterable, Iterator
from importlib import import_module
from inspect import getdoc
from pathlib import Path

from invariants import (
    STATE_INVARIANTS,
    STEP_INVARIANTS,
    History,
    StateInvariant,
    Step,
    StepInvariant,
    View,
)
from invariants.protocols import step_invariant
from tools.prove.lemma import LEMMAS, Lemma

MODULES = ("references", "free_queue", "prefix_map", "content", "tables", "hits", "events", "effects")
PAGE = Path(__file__).parents[2] / "docs" / "proofs.md"
Invariant = StateInvariant | StepInvariant
EVERY: list[Invariant] = [*STATE_INVARIANTS, *STEP_INVARIANTS]


def plain_forms(invariant: Invariant) -> list[Lemma]:
    lemmas: Iterator[Lemma] = (lemma for name in LEMMAS for lemma in import_module(name).LEMMAS)
    return [lemma for lemma in lemmas if any(one is invariant for one in lemma.about)]


def without_plain_form(invariants: Iterable[Invariant]) -> list[str]:
    return [invariant.id for invariant in invariants if not plain_forms(invariant)]


def test_every_invariant_finds_a_corruption() -> None:
    names = [name for module in MODULES for name in vars(import_module(f"tests.invariants.test_{module}"))]
    for invariant in EVERY:
        prefix = f"test_{invariant.id.replace('-', '_')}_finds_"
        assert any(name.startswith(prefix) for name in names), invariant.id
        assert invariant.statement
    assert len({invariant.id for invariant in EVERY}) == len(EVERY)


def test_every_invariant_has_a_plainer_form() -> None:
    assert without_plain_form(EVERY) == []


@step_invariant("made-up")
def made_up(_before: View, _step: Step, _after: View, _history: History) -> Iterator[str]:
    """Said of nothing."""
    yield from ()


def test_an_invariant_without_a_plainer_form_is_noticed() -> None:
    assert without_plain_form([*EVERY, made_up]) == ["made-up"]


def test_every_plainer_form_is_confirmed_over_all_paths() -> None:
    _, _, rest = PAGE.read_text().partition("\n## Confirmed over all paths")
    confirmed, _, _ = rest.partition("\n## ")
    for invariant in EVERY:
        for lemma in plain_forms(invariant):
            first, _, _ = (getdoc(lemma.holds) or "").partition("\n")
            sentence, _, _ = first.partition(" [")
            assert f"\n| {sentence} |" in confirmed, sentence
