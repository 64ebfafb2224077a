"""What is remembered of requests: which of their blocks hold the same content."""

from invariants import GroupSetting, History, Setting, Step
from invariants.step import Append, Arrive, Continue
from spec.attention import FullAttention
from spec.content import Span
from spec.units import Blocks, Tokens

SIZE = Tokens(4)
SETTING = Setting((GroupSetting(FullAttention(SIZE)),), Blocks(9), Tokens(64), SIZE, SIZE)
TOKENS = (1, 2, 3, 4, 5, 6, 7, 8)


def remembered(*actions: Arrive | Append | Continue) -> History:
    history = History(SETTING)
    for action in actions:
        history.record(Step(action))
    return history


def test_a_block_is_known_once_all_of_its_tokens_are() -> None:
    history = remembered(Arrive("a", TOKENS[:7]))
    assert history.identity("a", 0, 0) is not None
    assert history.identity("a", 0, 1) is None
    history.record(Step(Append("a", TOKENS[7:])))
    assert history.identity("a", 0, 1) is not None
    assert history.identity("b", 0, 0) is None


def test_an_item_of_a_streaming_update_lies_behind_the_tokens_that_are_kept() -> None:
    # REQ-7: 5 of 6 tokens are kept, and the item begins one token later.
    history = remembered(
        Arrive("a", TOKENS[:6]),
        Continue("a", Tokens(5), TOKENS[5:], (Span("image", Tokens(1), Tokens(2)),)),
        Arrive("b", TOKENS, spans=(Span("image", Tokens(6), Tokens(2)),)),
        Arrive("c", TOKENS, spans=(Span("image", Tokens(1), Tokens(2)),)),
        Arrive("d", TOKENS),
    )
    streamed = history.identity("a", 0, 1)
    assert streamed is not None
    assert streamed == history.identity("b", 0, 1)
    assert streamed != history.identity("c", 0, 1)
    assert streamed != history.identity("d", 0, 1)


def test_adapter_salt_and_embeddings_tell_contents_apart() -> None:
    rows = tuple(bytes([number]) for number in range(8))
    history = remembered(
        Arrive("plain", TOKENS),
        Arrive("adapted", TOKENS, adapter="one"),
        Arrive("salted", TOKENS, salt="two"),
        Arrive("embedded", TOKENS, rows=rows),
    )
    contents = {history.identity(name, 0, 1) for name in ("plain", "adapted", "salted", "embedded")}
    assert len(contents) == 4
    assert None not in contents
