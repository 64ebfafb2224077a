"""What is told does not depend on when it is told."""

from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from kvref.operations import Configuration, FullGroup
from kvref.record.entries import Content
from kvref.record.notes import Notes
from kvref.targets.vllm.telling import Telling

CONFIGURATION = Configuration((FullGroup(4),), 9, 64, 4, 4, enable_kv_cache_events=False)


def session_of(tokens: list[int]) -> SimpleNamespace:
    """A streaming session that has just come."""
    return SimpleNamespace(
        request_id="s",
        _all_token_ids=tokens,
        block_hashes=[bytes([number]) * 8 for number in range(9)],
        num_prompt_tokens=len(tokens),
        num_computed_tokens=0,
        mm_features=[],
        cache_salt=None,
        lora_request=None,
        prompt_embeds=None,
        skip_reading_prefix_cache=False,
    )


class Live:
    """A session of an engine, noted as a recorder does."""

    def __init__(self, tokens: Content) -> None:
        self.notes = Notes()
        parameters = {"allocate_slots": ("request", "num_new_tokens")}
        self.telling = Telling(CONFIGURATION, tokens, pytest.fail, parameters, blocks=True)
        self.telling._identities._key = b"no secret"
        self.notes.make = self.telling.entries
        self.session = session_of([1, 2, 3, 4, 5])

    def length(self) -> int:
        return len(self.session._all_token_ids)

    def compute(self, count: int) -> None:
        computed, blocks = self.session.num_computed_tokens, SimpleNamespace(blocks=([],))
        self.notes.note((self.telling.allocated, blocks, self.length(), computed, (self.session, count), {}))
        self.session.num_computed_tokens += count

    def sample(self, *new: int) -> None:
        self.session._all_token_ids.extend(new)
        self.notes.note((self.telling.sampled, self.session, self.length()))

    def go_on(self, tokens: list[int], item: str) -> None:
        """The next input, for which what is not computed goes; the item is at its beginning."""
        session = self.session
        self.notes.note((self.telling.saw, session, self.length()))
        with self.notes.making:
            self.telling.continues(session)
        del session._all_token_ids[session.num_computed_tokens :]
        position = SimpleNamespace(offset=self.length(), length=1)
        session.mm_features.append(SimpleNamespace(identifier=item, mm_position=position))
        session._all_token_ids += tokens
        session.num_prompt_tokens = self.length()
        self.notes.note((self.telling.continued, session, session.num_computed_tokens, self.length()))


def told(tokens: Content, takes: tuple[bool, ...]) -> list[Any]:
    """All entries of a session's life; after each event, they are taken or not."""
    live, made = Live(tokens), list[Any]()
    notes = live.notes
    events: tuple[Callable[[], None], ...] = (
        lambda: live.compute(5),
        lambda: live.sample(6),
        lambda: live.go_on([7, 8, 9], "a"),
        lambda: live.compute(3),
        lambda: live.sample(10, 11),
        lambda: live.go_on([12], "b"),
        lambda: live.go_on([13, 14, 15], "c"),
        lambda: live.compute(2),
    )
    for event, take in zip(events, takes, strict=True):
        event()
        if take:
            made += notes.take(len(notes))
    made += notes.take(len(notes))
    plain: list[Any] = msgspec.to_builtins(made)
    return plain


@pytest.mark.parametrize("tokens", ["keep", "hash", "none"])
def test_what_is_told_of_a_session_is_the_same_whenever_it_is_told(tokens: Content) -> None:
    at_once = told(tokens, (True,) * 8)
    for takes in product((False, True), repeat=8):
        assert told(tokens, takes) == at_once
    assert [entry[0] for entry in at_once] == [0, 4, 21, 2, 4, 1, 2, 2, 4]


def test_tokens_that_a_session_has_lost_are_told_before_it_loses_them() -> None:
    entries = told("keep", (False,) * 8)
    arrived, _, _, first, _, appended, second, third, _ = entries
    assert arrived[3] == [1, 2, 3, 4, 5]
    assert (first[2], first[3]) == (5, [7, 8, 9])
    assert appended[2] == [10, 11]
    assert (second[2], second[3]) == (8, [12])
    assert (third[2], third[3]) == (8, [13, 14, 15])
