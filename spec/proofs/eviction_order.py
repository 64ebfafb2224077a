"""A chain loses its tail before its root: no block is evicted before a block that extends it.

For tables that are held as a whole until they are freed (full attention, MLA): whoever uses a block uses
all that it extends. Windows give back their heads first, and a hit does not need those [SWA-1].
"""

from dataclasses import dataclass

import z3

from spec.proofs.theorem import Claim, Theorem

Block = z3.DeclareSort("Content")
root, tip, taken = z3.Consts("root tip taken", Block)
extends = z3.Function("extends", Block, Block, z3.BoolSort())
"""`extends(tip, root)`: the root's tokens are a prefix of the tip's."""

chosen = z3.Function("chosen", Block, z3.BoolSort())
"""The blocks that an operation is about."""


@dataclass(frozen=True)
class State:
    """Which blocks hold content, which of them are free, and where these are queued."""

    cached: z3.FuncDeclRef
    free: z3.FuncDeclRef
    at: z3.FuncDeclRef


def _state(name: str) -> State:
    return State(
        cached=z3.Function(f"cached_{name}", Block, z3.BoolSort()),
        free=z3.Function(f"free_{name}", Block, z3.BoolSort()),
        at=z3.Function(f"place_{name}", Block, z3.IntSort()),
    )


BEFORE, AFTER = _state("then"), _state("now")


def _pairs(condition: z3.BoolRef) -> z3.BoolRef:
    return z3.ForAll([root, tip], z3.Implies(extends(tip, root), condition))


def ordered(state: State) -> z3.BoolRef:
    """What extends a free block is free too, and queued before it; what has no content is not asked."""
    both = z3.And(state.cached(root), state.cached(tip), state.free(root))
    return _pairs(z3.Implies(both, z3.And(state.free(tip), state.at(tip) < state.at(root))))


def _content_stays() -> z3.BoolRef:
    return z3.ForAll([root], AFTER.cached(root) == BEFORE.cached(root))


def _evicted_last() -> Claim:
    """The first block of the queue is evicted: nothing that extends it has content any more."""
    first = z3.ForAll([root], z3.Implies(BEFORE.free(root), BEFORE.at(taken) <= BEFORE.at(root)))
    known = (ordered(BEFORE), BEFORE.free(taken), BEFORE.cached(taken), first)
    return Claim(known, z3.Not(z3.And(extends(tip, taken), BEFORE.cached(tip))))


def _evicted() -> Claim:
    """It loses its content and is used; the rest stays as it was."""
    performed = (
        z3.ForAll([root], AFTER.cached(root) == z3.And(BEFORE.cached(root), root != taken)),
        z3.ForAll([root], AFTER.free(root) == z3.And(BEFORE.free(root), root != taken)),
        z3.ForAll([root], AFTER.at(root) == BEFORE.at(root)),
    )
    return Claim((ordered(BEFORE), *performed), ordered(AFTER))


def _cached() -> Claim:
    """New content is used, and so is all that it extends; nothing with content extends it yet."""
    performed = (
        z3.Not(BEFORE.cached(taken)),
        z3.Not(BEFORE.free(taken)),
        z3.ForAll([root], z3.Implies(extends(taken, root), z3.Not(BEFORE.free(root)))),
        z3.ForAll([root], AFTER.cached(root) == z3.Or(BEFORE.cached(root), root == taken)),
        z3.ForAll([root], AFTER.free(root) == BEFORE.free(root)),
        z3.ForAll([root], AFTER.at(root) == BEFORE.at(root)),
    )
    return Claim((ordered(BEFORE), *performed), ordered(AFTER))


def _touched() -> Claim:
    """A hit is used with all that it extends."""
    performed = (
        _pairs(z3.Implies(chosen(tip), chosen(root))),
        z3.ForAll([root], AFTER.free(root) == z3.And(BEFORE.free(root), z3.Not(chosen(root)))),
        z3.ForAll([root], AFTER.at(root) == BEFORE.at(root)),
        _content_stays(),
    )
    return Claim((ordered(BEFORE), *performed), ordered(AFTER))


def _released(*, tail_first: bool) -> Claim:
    """Chosen blocks lose their last user and go behind all others; what stays used is prefix-closed."""
    earlier, later = (tip, root) if tail_first else (root, tip)
    both = z3.And(chosen(root), chosen(tip))
    performed = (
        z3.ForAll([root], z3.Implies(chosen(root), z3.Not(BEFORE.free(root)))),
        z3.ForAll([root], AFTER.free(root) == z3.Or(BEFORE.free(root), chosen(root))),
        _pairs(z3.Implies(z3.And(AFTER.free(root), BEFORE.cached(tip)), AFTER.free(tip))),
        _pairs(z3.Implies(both, AFTER.at(earlier) < AFTER.at(later))),
        z3.ForAll([root], z3.Implies(z3.Not(chosen(root)), AFTER.at(root) == BEFORE.at(root))),
        z3.ForAll(
            [root, tip],
            z3.Implies(z3.And(BEFORE.free(tip), chosen(root)), BEFORE.at(tip) < AFTER.at(root)),
        ),
        _content_stays(),
    )
    return Claim((ordered(BEFORE), *performed), ordered(AFTER))


def _all_operations() -> tuple[Claim, ...]:
    return (_evicted_last(), _evicted(), _cached(), _touched(), _released(tail_first=True))


THEOREMS = (
    Theorem(
        "Tables that are released tail first lose no block before what extends it",
        ("FREE-1", "SKIP-3"),
        _all_operations,
        lambda: _released(tail_first=False),
        "released root first",
    ),
)
