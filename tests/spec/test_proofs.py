"""z3 proves what it should, refutes what it should, and speaks of what `spec` defines."""

from itertools import product
from math import gcd, lcm

import pytest
import z3

from spec.arithmetic import covering_blocks, full_blocks
from spec.attention import ChunkedLocalAttention, MambaState, SlidingWindowAttention
from spec.capacity import most_held
from spec.hits import candidate_lengths
from spec.proofs import THEOREMS, Answer, Claim, Theorem, can_hold, decide, decide_all, held_blocks, windows
from spec.proofs.encoding import is_covering_blocks, is_full_blocks, mamba_skips, window_skips
from spec.retention import Retention, is_kept, is_useful
from spec.units import Blocks, Tokens

by_statement = pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.statement)


def test_every_theorem_says_something_of_its_own() -> None:
    assert len({theorem.statement for theorem in THEOREMS}) == len(THEOREMS)


@by_statement
def test_the_theorem_is_proved(theorem: Theorem) -> None:
    assert decide_all(theorem) is Answer.PROVED


@by_statement
def test_its_wrong_variant_is_refuted(theorem: Theorem) -> None:
    assert decide(theorem.wrong()) is Answer.REFUTED


@by_statement
def test_its_assumptions_can_hold(theorem: Theorem) -> None:
    assert all(can_hold(claim) for claim in theorem.claims())


def test_a_claim_with_impossible_assumptions_is_noticed() -> None:
    number = z3.Int("number")
    nothing = Claim((number > 1, number < 1), number == 5)
    assert decide(nothing) is Answer.PROVED
    assert not can_hold(nothing)


def test_a_claim_that_takes_too_long_is_undecided() -> None:
    one, other, power = z3.Ints("one other power")
    hard = Claim((one > 2, other > 2, power > 2), one**power + other**power != 7 * power**one)
    assert decide(hard, effort=1000) is Answer.UNDECIDED


def holds(condition: z3.BoolRef, **values: int | bool) -> bool:
    """Whether a condition is true where its variables have these values."""
    constants = [
        (z3.Bool(name), z3.BoolVal(given)) if isinstance(given, bool) else (z3.Int(name), z3.IntVal(given))
        for name, given in values.items()
    ]
    decided = z3.simplify(z3.substitute(condition, *constants))
    assert z3.is_true(decided) or z3.is_false(decided), decided
    return z3.is_true(decided) is True


def value(number: z3.ArithRef) -> int:
    return int(z3.simplify(number).as_long())


@pytest.mark.parametrize("size", range(1, 7))
def test_the_encoded_counts_are_those_of_spec(size: int) -> None:
    for tokens, blocks in product(range(20), range(22)):
        expected = full_blocks(Tokens(tokens), Tokens(size)), covering_blocks(Tokens(tokens), Tokens(size))
        assert holds(is_full_blocks(z3.IntVal(blocks), tokens, size)) == (blocks == expected[0])
        assert holds(is_covering_blocks(z3.IntVal(blocks), tokens, size)) == (blocks == expected[1])


@pytest.mark.parametrize("computed", range(12))
def test_the_encoded_skips_are_those_of_spec(computed: int) -> None:
    for window in range(1, 8):
        attention = SlidingWindowAttention(Tokens(4), Tokens(window))
        assert value(window_skips(z3.IntVal(computed), window)) == attention.skipped_tokens(Tokens(computed))
    assert value(mamba_skips(z3.IntVal(computed))) == MambaState(Tokens(4)).skipped_tokens(Tokens(computed))


def test_only_a_common_multiple_of_the_block_sizes_keeps_hits_in_whole_blocks() -> None:
    sizes = (4, 6)
    aligned = candidate_lengths(Tokens(40), Tokens(lcm(*sizes)))
    divided = candidate_lengths(Tokens(40), Tokens(gcd(*sizes)))
    assert len(aligned) > 1
    assert [length for length in aligned for size in sizes if length % size] == []
    assert {size for length in divided for size in sizes if length % size} == set(sizes)


SETTINGS = list(
    product((1, 2, 3, 5, 8, 9), (1, 2, 4), (1, 2, 3), (None, 0, 1, 2), (0, 1, 9, 25), (False, True))
)
"""One in nineteen is looked at: z3 evaluates slowly."""


@pytest.mark.parametrize(("window", "size", "aligned", "every", "prompt", "eagle"), SETTINGS[::19])
def test_what_is_kept_and_useful_is_encoded_as_spec_defines_it(
    window: int, size: int, aligned: int, every: int | None, prompt: int, eagle: bool
) -> None:
    attention = SlidingWindowAttention(Tokens(size), Tokens(window))
    alignment = aligned * size
    retention = Retention(Tokens(alignment), None if every is None else Tokens(every * alignment))
    segment, boundary = retention.segment(), retention.prompt_boundary(Tokens(prompt))
    setting: dict[str, int | bool] = {
        "tail": attention.tail_blocks(),
        "behind": int(eagle),
        "segment": (segment or alignment) // size,
        "has_segment": segment is not None,
        "boundary": (boundary or 0) // size,
        "has_boundary": boundary is not None,
    }
    for block in range(9):
        first = next(
            n for n in range(1, 30) if holds(windows._first_that_reaches(), **setting, block=block, first=n)
        )
        kept = is_kept(attention, retention, eagle=eagle, block=Blocks(block), prompt_tokens=Tokens(prompt))
        useful = is_useful(
            attention,
            retention,
            eagle=eagle,
            block=Blocks(block),
            prompt_tokens=Tokens(prompt),
            horizon=Tokens(24 * alignment),
        )
        assert holds(windows._kept(), **setting, block=block, first=first) == kept
        assert any(holds(windows._useful(), **setting, block=block, nth=n) for n in range(1, 25)) == useful


@pytest.mark.parametrize(
    ("size", "reach", "batched", "ahead"), list(product((1, 2, 4), (1, 3, 4, 8), (0, 5), (0, 3)))
)
def test_the_proved_bounds_are_those_of_spec(size: int, reach: int, batched: int, ahead: int) -> None:
    window = SlidingWindowAttention(Tokens(size), Tokens(reach))
    chunk = ChunkedLocalAttention(Tokens(size), Tokens(reach))
    given = {"size": size, "batched": batched, "lookahead": ahead, "limit": 30}
    for attention, still_read, ragged in ((window, reach - 1, 1), (chunk, reach, int(reach % size != 0))):
        bound = most_held(
            attention, batched_tokens=Tokens(batched), model_tokens=Tokens(30), lookahead=Tokens(ahead)
        )
        assert bound is not None
        condition = held_blocks._cap_of(z3.IntVal(still_read), z3.Int("lookahead"))
        assert holds(condition, **given, cap=bound - ragged)
        assert not holds(condition, **given, cap=bound - ragged - 1)
