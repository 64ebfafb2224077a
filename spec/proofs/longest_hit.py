"""The longest hit: bounded, aligned, and never shorter for a fuller cache.

What a group reads at a length, and which lengths are candidates, are left open: the theorems hold for
every kind of attention, any number of groups and any cache.
"""

import z3

from spec.proofs.theorem import Claim, Theorem

length, other, prompt = z3.Ints("length other prompt")
size, times, alignment, steps, rest = z3.Ints("size times alignment steps rest")
group, block = z3.Ints("group block")

_candidate = z3.Function("candidate", z3.IntSort(), z3.BoolSort())
_needs = z3.Function("needs", z3.IntSort(), z3.IntSort(), z3.IntSort(), z3.BoolSort())
_cached = z3.Function("cached", z3.IntSort(), z3.IntSort(), z3.BoolSort())
_fuller = z3.Function("fuller", z3.IntSort(), z3.IntSort(), z3.BoolSort())


def _serves(cache: z3.FuncDeclRef, at: z3.ArithRef) -> z3.BoolRef:
    """All groups have cached what they need at this length; nothing is needed at 0 [HIT-7]."""
    needed = z3.And(_needs(at, group, block), at != 0)
    return z3.ForAll([group, block], z3.Implies(needed, cache(group, block)))


def _is_longest(cache: z3.FuncDeclRef, hit: z3.ArithRef) -> z3.BoolRef:
    any_length = z3.Int("any_length")
    longest = z3.ForAll(
        [any_length],
        z3.Implies(z3.And(_candidate(any_length), _serves(cache, any_length)), any_length <= hit),
    )
    return z3.And(_candidate(hit), _serves(cache, hit), longest)


def _contains(larger: z3.FuncDeclRef, less: z3.FuncDeclRef) -> z3.BoolRef:
    return z3.ForAll([group, block], z3.Implies(less(group, block), larger(group, block)))


def _fuller_caches_hit_longer() -> tuple[Claim, ...]:
    known = (_contains(_fuller, _cached), _is_longest(_cached, length), _is_longest(_fuller, other))
    return (Claim(known, length <= other),)


def _is_candidate() -> tuple[z3.BoolRef, ...]:
    """`length` is 0, or a multiple of the alignment with a token left to compute [HIT-7]."""
    return (
        prompt >= 0,
        alignment > 0,
        steps >= 0,
        length == steps * alignment,
        z3.Or(length == 0, length <= prompt - 1),
    )


def _something_is_left() -> tuple[Claim, ...]:
    return (Claim((*_is_candidate(), prompt > 0), z3.And(length >= 0, length <= prompt - 1)),)


def _aligned_for_every_group() -> tuple[Claim, ...]:
    """The alignment is a multiple of the group's block size, so the hit is: `steps * times` blocks."""
    known = (*_is_candidate(), size > 0, times > 0, alignment == times * size)
    return (Claim(known, length == (steps * times) * size),)


def _common_divisor() -> Claim:
    known = (*_is_candidate(), size > 0, times > 0, size == times * alignment)
    return Claim(known, length % size == 0)


def _no_multiple() -> tuple[Claim, ...]:
    """The alignment itself is the hit of some prompt. If it is `times` blocks and a rest, it is no number of blocks."""
    known = (size > 0, rest > 0, rest < size, times >= 0, alignment == times * size + rest)
    shortest = (prompt == alignment + 1, length == alignment, steps == 1)
    return (
        Claim((*known, *shortest), z3.And(*_is_candidate())),
        Claim((*known, *shortest), length != other * size),
    )


def _greatest_common_divisor() -> Claim:
    """Sizes of which the alignment is the greatest common divisor, as Bézout's identity tells."""
    part, of_other, one, two = z3.Ints("part of_other one two")
    known = (
        *_is_candidate(),
        z3.And(part > 0, of_other > 0, one * part - two * of_other == 1),
        z3.And(size == part * alignment, other == of_other * alignment),
        z3.And(rest >= 0, rest < size, length == times * size + rest),
    )
    return Claim(known, rest == 0)


THEOREMS = (
    Theorem(
        "A cache that holds more never gives a shorter longest hit",
        ("HIT-6", "HIT-7"),
        _fuller_caches_hit_longer,
        lambda: Claim(
            (_contains(_cached, _fuller), _is_longest(_cached, length), _is_longest(_fuller, other)),
            length <= other,
        ),
        "nor does one that holds less",
    ),
    Theorem(
        "A hit leaves at least one token to compute",
        ("HIT-8", "HIT-10"),
        _something_is_left,
        lambda: Claim((*_is_candidate(), prompt > 1), length < prompt - 1),
        "at least two",
    ),
    Theorem(
        "A hit is a multiple of every group's block size, because the alignment is a common multiple",
        ("COORD-5", "HIT-7", "INV-9"),
        _aligned_for_every_group,
        _common_divisor,
        "a common divisor would do",
    ),
    Theorem(
        "If the alignment is no multiple of a group's block size, nor is some hit",
        ("COORD-5", "HIT-7", "INV-9"),
        _no_multiple,
        _greatest_common_divisor,
        "with the greatest common divisor every hit is one",
    ),
)
