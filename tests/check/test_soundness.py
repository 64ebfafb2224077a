"""What is left out of a state decides nothing: states with one fingerprint lead to the same states."""

import pytest

from kvref.check.canonical import Canon
from kvref.check.configurations import Size, scope_called
from kvref.check.hidden import hidden_form
from kvref.check.image import Image
from kvref.check.moves import Scope, moves
from kvref.check.names import Names
from kvref.check.playing import Playing, start
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession

ENOUGH = 40
"""So many states are looked at, each as often as something leads to it."""


class _Walk:
    """Goes from concrete state to concrete state."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.playing: Playing = start(scope, ReferenceSession, OptimizedSession)
        self.canon = Canon(scope.configuration)

    def fingerprint(self) -> int:
        playing = self.playing

        def hidden(names: Names) -> object:
            return [hidden_form(side, names) for side in (playing.reference, playing.subject)]

        return self.canon.fingerprint(playing.witness.last, playing.scheduler, playing.texts, hidden)

    def on_from(self, image: Image) -> list[tuple[int, Image]]:
        """What every move leads to."""
        image.restore()
        playing = self.playing
        letters = self.canon.letters(playing.witness.last, playing.texts)
        reached = []
        for move in list(moves(self.scope, playing.scheduler, letters)):
            image.restore()
            playing.make(move)
            reached.append((self.fingerprint(), playing.image()))
        return reached


def _hold_together(scope: Scope, enough: int = ENOUGH) -> int:
    """Go on until so many states are known. How often one was come to again."""
    walk = _Walk(scope)
    known: dict[int, set[int]] = {}
    waiting = [(walk.fingerprint(), walk.playing.image())]
    again = 0
    while waiting and len(known) < enough:
        fingerprint, image = waiting.pop(0)
        reached = walk.on_from(image)
        leads_to = {one for one, _ in reached}
        if fingerprint in known:
            assert known[fingerprint] == leads_to
            again += 1
        else:
            known[fingerprint] = leads_to
            waiting += reached
    return again


NAMES = (
    *(
        "full",
        "full/two",
        "sliding/two",
        "mamba-align",
        "full+sliding/two",
        "sliding+retention",
        "full+eagle",
        "full+connector",
        "mamba-align/ahead",
    ),
)


@pytest.mark.parametrize("name", NAMES)
def test_states_with_one_fingerprint_lead_to_the_same_states(name: str) -> None:
    assert _hold_together(scope_called(name, Size(letters=2, by_hand=name == "full"))) > ENOUGH // 2


def test_leaving_out_what_decides_something_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Canon, "_content", lambda _self, key, _names: key is None)
    with pytest.raises(AssertionError):
        _hold_together(scope_called("full"), 8 * ENOUGH)
