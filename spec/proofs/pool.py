"""The pool: every operation keeps its invariants, for any number of blocks and any reference counts.

A state is four relations over blocks: how many use a block, whether it is queued and where, and what key it
has; and one between keys and blocks, the prefix map. Each claim says: if the invariants hold, and an
operation was performed as it should be, they hold again. The pool as it is built keeps them, so all states
that can be reached do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import z3

from spec.proofs.theorem import Claim, Theorem

Block = z3.DeclareSort("Block")
Key = z3.DeclareSort("Key")
NULL = z3.Const("null", Block)
chosen, any_block, other_block = z3.Consts("chosen any_block other_block", Block)
any_key, given = z3.Consts("any_key given", Key)


@dataclass(frozen=True)
class State:
    """One state of a pool. `at` is a block's place in the free queue: smaller is taken earlier."""

    users: z3.FuncDeclRef
    queued: z3.FuncDeclRef
    at: z3.FuncDeclRef
    keyed: z3.FuncDeclRef
    key: z3.FuncDeclRef
    mapped: z3.FuncDeclRef


def _state(name: str) -> State:
    return State(
        users=z3.Function(f"users_{name}", Block, z3.IntSort()),
        queued=z3.Function(f"queued_{name}", Block, z3.BoolSort()),
        at=z3.Function(f"at_{name}", Block, z3.IntSort()),
        keyed=z3.Function(f"keyed_{name}", Block, z3.BoolSort()),
        key=z3.Function(f"key_{name}", Block, Key),
        mapped=z3.Function(f"mapped_{name}", Key, Block, z3.BoolSort()),
    )


BEFORE, AFTER = _state("before"), _state("after")


def _every(condition: z3.BoolRef) -> z3.BoolRef:
    return z3.ForAll([any_block], condition)


def invariants(state: State) -> z3.BoolRef:
    """What must hold of a pool [POOL-1, POOL-2, INV-1, INV-3, INV-4]."""
    one_place = z3.Implies(
        z3.And(
            state.queued(any_block), state.queued(other_block), state.at(any_block) == state.at(other_block)
        ),
        any_block == other_block,
    )
    agrees = state.mapped(any_key, any_block) == z3.And(
        state.keyed(any_block), state.key(any_block) == any_key
    )
    return z3.And(
        _every(state.users(any_block) >= 0),
        _every(state.queued(any_block) == z3.And(state.users(any_block) == 0, any_block != NULL)),
        z3.Not(state.keyed(NULL)),
        z3.ForAll([any_block, other_block], one_place),
        z3.ForAll([any_key, any_block], agrees),
    )


def _users(change: Callable[[z3.ArithRef], z3.ArithRef]) -> z3.BoolRef:
    """Only the chosen block's users change."""
    before = BEFORE.users(any_block)
    return _every(AFTER.users(any_block) == z3.If(any_block == chosen, change(before), before))


def _queued(now: z3.BoolRef | bool) -> z3.BoolRef:
    """Only whether the chosen block is queued changes."""
    before = BEFORE.queued(any_block)
    return _every(AFTER.queued(any_block) == z3.If(any_block == chosen, now, before))


def _places_stay() -> z3.BoolRef:
    return _every(z3.Implies(any_block != chosen, AFTER.at(any_block) == BEFORE.at(any_block)))


def _keys_stay() -> z3.BoolRef:
    keys = z3.And(
        AFTER.keyed(any_block) == BEFORE.keyed(any_block), AFTER.key(any_block) == BEFORE.key(any_block)
    )
    same = AFTER.mapped(any_key, any_block) == BEFORE.mapped(any_key, any_block)
    return z3.And(_every(keys), z3.ForAll([any_key, any_block], same))


def _key_goes() -> z3.BoolRef:
    """The chosen block loses its key, and the map its entry."""
    keyed = z3.And(BEFORE.keyed(any_block), any_block != chosen)
    mapped = z3.And(BEFORE.mapped(any_key, any_block), any_block != chosen)
    return z3.And(
        _every(AFTER.keyed(any_block) == keyed),
        _every(AFTER.key(any_block) == BEFORE.key(any_block)),
        z3.ForAll([any_key, any_block], AFTER.mapped(any_key, any_block) == mapped),
    )


def _users_and_queue_stay() -> z3.BoolRef:
    return z3.And(_users(lambda users: users), _queued(BEFORE.queued(chosen)), _places_stay(), _place_stays())


def _place_stays() -> z3.BoolRef:
    return AFTER.at(chosen) == BEFORE.at(chosen)


def _is_first() -> z3.BoolRef:
    earlier = z3.And(BEFORE.queued(any_block), BEFORE.at(any_block) < BEFORE.at(chosen))
    return z3.And(BEFORE.queued(chosen), _every(z3.Not(earlier)))


def _gets_an_end() -> z3.BoolRef:
    """The chosen block goes before all that are queued, or behind them."""
    front = _every(z3.Implies(BEFORE.queued(any_block), AFTER.at(chosen) < BEFORE.at(any_block)))
    back = _every(z3.Implies(BEFORE.queued(any_block), AFTER.at(chosen) > BEFORE.at(any_block)))
    return z3.Or(front, back)


def _allocated(keys: z3.BoolRef) -> Claim:
    """The first free block gets a user, and leaves queue and map [POOL-4]."""
    performed = z3.And(_is_first(), _users(lambda _: z3.IntVal(1)), _queued(now=False), _places_stay(), keys)
    return Claim((invariants(BEFORE), performed), invariants(AFTER))


def _touched(leaves_queue: z3.BoolRef) -> Claim:
    """A hit block gets one more user, and leaves the queue if it was there [POOL-6]."""
    performed = z3.And(
        chosen != NULL, _users(lambda users: users + 1), leaves_queue, _places_stay(), _keys_stay()
    )
    return Claim((invariants(BEFORE), performed), invariants(AFTER))


def _freed(spares_null: z3.BoolRef | bool) -> Claim:
    """A used block loses a user, and is queued at one end when none is left [POOL-7]."""
    last = BEFORE.users(chosen) == 1
    performed = z3.And(
        spares_null,
        BEFORE.users(chosen) > 0,
        _users(lambda users: users - 1),
        _queued(last),
        _places_stay(),
        z3.Implies(last, _gets_an_end()),
        _keys_stay(),
    )
    return Claim((invariants(BEFORE), performed), invariants(AFTER))


def _cached(was_keyed: z3.BoolRef) -> Claim:
    """A used block without a key gets one, and the map its entry [CACHE-4, DATA-2]."""
    keyed = z3.Or(BEFORE.keyed(any_block), any_block == chosen)
    key = z3.If(any_block == chosen, given, BEFORE.key(any_block))
    mapped = z3.Or(BEFORE.mapped(any_key, any_block), z3.And(any_block == chosen, any_key == given))
    performed = z3.And(
        chosen != NULL,
        BEFORE.users(chosen) > 0,
        was_keyed,
        _users_and_queue_stay(),
        _every(AFTER.keyed(any_block) == keyed),
        _every(AFTER.key(any_block) == key),
        z3.ForAll([any_key, any_block], AFTER.mapped(any_key, any_block) == mapped),
    )
    return Claim((invariants(BEFORE), performed), invariants(AFTER))


def _evicted(keys: z3.BoolRef) -> Claim:
    """Any block loses its key and stays where it is [POOL-8]."""
    return Claim((invariants(BEFORE), _users_and_queue_stay(), keys), invariants(AFTER))


def _reset(empties_map: z3.BoolRef | bool) -> Claim:
    """Nothing is in use, and all keys go at once [RESET-1]."""
    unused = _every(z3.Implies(any_block != NULL, BEFORE.users(any_block) == 0))
    performed = z3.And(
        unused,
        _users_and_queue_stay(),
        _every(z3.Not(AFTER.keyed(any_block))),
        _every(AFTER.key(any_block) == BEFORE.key(any_block)),
        empties_map,
    )
    return Claim((invariants(BEFORE), performed), invariants(AFTER))


def _map_is_empty() -> z3.BoolRef:
    return z3.ForAll([any_key, any_block], z3.Not(AFTER.mapped(any_key, any_block)))


def _map_stays() -> z3.BoolRef:
    return z3.ForAll(
        [any_key, any_block], AFTER.mapped(any_key, any_block) == BEFORE.mapped(any_key, any_block)
    )


def _key_goes_but_for_the_map() -> z3.BoolRef:
    keyed = z3.And(BEFORE.keyed(any_block), any_block != chosen)
    return z3.And(
        _every(AFTER.keyed(any_block) == keyed),
        _every(AFTER.key(any_block) == BEFORE.key(any_block)),
        _map_stays(),
    )


def _built() -> Claim:
    """A new pool: nothing is used or keyed, and all but the null block are queued, in order [POOL-1]."""
    state = BEFORE
    new = z3.And(
        _every(state.users(any_block) == 0),
        _every(state.queued(any_block) == (any_block != NULL)),
        z3.ForAll(
            [any_block, other_block],
            z3.Implies(state.at(any_block) == state.at(other_block), any_block == other_block),
        ),
        _every(z3.Not(state.keyed(any_block))),
        z3.ForAll([any_key, any_block], z3.Not(state.mapped(any_key, any_block))),
    )
    return Claim((new,), invariants(state))


THEOREMS = (
    Theorem(
        "A new pool keeps its invariants, and allocation does",
        ("POOL-1", "POOL-4"),
        lambda: (_built(), _allocated(_key_goes())),
        lambda: _allocated(_key_goes_but_for_the_map()),
        "allocation without taking the block out of the map",
    ),
    Theorem(
        "Touching a hit keeps the pool's invariants",
        ("POOL-6",),
        lambda: (_touched(_queued(now=False)),),
        lambda: _touched(_queued(BEFORE.queued(chosen))),
        "the block stays in the queue",
    ),
    Theorem(
        "Freeing keeps the pool's invariants",
        ("POOL-7", "FREE-5"),
        lambda: (_freed(chosen != NULL),),
        lambda: _freed(spares_null=True),
        "the null block may be freed",
    ),
    Theorem(
        "Caching keeps the pool's invariants",
        ("CACHE-4", "DATA-2"),
        lambda: (_cached(z3.Not(BEFORE.keyed(chosen))),),
        lambda: _cached(z3.BoolVal(val=True)),
        "a block that has a key gets another",
    ),
    Theorem(
        "Evicting by hand keeps the pool's invariants",
        ("POOL-8",),
        lambda: (_evicted(_key_goes()),),
        lambda: _evicted(_key_goes_but_for_the_map()),
        "the map keeps the entry",
    ),
    Theorem(
        "A reset keeps the pool's invariants",
        ("RESET-1",),
        lambda: (_reset(_map_is_empty()),),
        lambda: _reset(_map_stays()),
        "the map is not emptied",
    ),
)
