"""Contracts as statements for CrossHair: those of `spec` and `invariants`, lemmas about them, equivalences."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from types import ModuleType
from unittest.mock import patch

from tools.prove.lemma import LEMMAS, Lemma
from tools.prove.same_arithmetic import EQUIVALENCES, Equivalence
from tools.prove.statement import Reach, Statement, Verdict
from tools.prove.symbolic import Contract, Examined, bounded, contract_of, contracts_of, examine

TOOL = "CrossHair"
RULE = re.compile(r"\b(?:Q|[A-Z]+)-\d+\b")
ENOUGH = 800
"""All that has an end, and is no product of unknowns, ends within so many paths."""

UNBOUNDED: dict[str, tuple[str, ...]] = {"spec.retention.is_useful": ("horizon",)}
"""Parameters that say how often a loop runs."""

PRODUCTS: dict[str, str | None] = {
    "spec.retention.Retention.prompt_boundary": "self.alignment == 3 and self.interval in (None, 0, 6)",
    "spec.retention.Retention.wants": "self.alignment == 3 and self.interval in (None, 0, 6)",
    "spec.retention.is_needed_at": "attention.block_size == 2 and getattr(attention, 'chunk', 4) == 4",
    "spec.retention.is_kept": None,
    "spec.retention.cacheable_tokens": "attention.block_size == 2 and alignment == 4",
}
"""What asks z3 for remainders of products of unknowns, and a bound within which it has an answer; None where a lemma says more."""


def rules_of(function: Callable[..., object]) -> tuple[str, ...]:
    """The rules that a docstring names in brackets."""
    cited = re.findall(r"\[([^\]]*)\]", function.__doc__ or "")
    return tuple(dict.fromkeys(RULE.findall(" ".join(cited))))


def sentence_of(function: Callable[..., object]) -> str:
    """The first sentence of a docstring, without its rules."""
    first = (function.__doc__ or "").partition("\n")[0]
    return re.sub(r"\s*\[[^\]]*\]", "", first).rstrip(".")


def endless(contract: Contract) -> list[str]:
    """The parameters that may be of any size, or answer any question: there is no last path."""
    names = [*UNBOUNDED.get(name_of(contract), ())]
    for name, parameter in contract.conditions.sig.parameters.items():
        kinds = str(parameter.annotation)
        if re.search(
            r"\b(?:Sequence|list|set|tuple|str|bytes|Callable)\b|Hash|Key|SpecGroup|Release|Record", kinds
        ):
            names.append(name)
    return names


def has_no_last_path(contract: Contract) -> bool:
    """Whether more effort only makes a counterexample less likely."""
    return bool(endless(contract)) or name_of(contract) in PRODUCTS


def name_of(contract: Contract) -> str:
    """Where a contract's function is written."""
    return place_of(contract.function)


def place_of(function: Callable[..., object]) -> str:
    """Where a function, or that of an invariant, is written."""
    bare = getattr(function, "predicate", function)
    return f"{bare.__module__}.{bare.__qualname__}"


def why_open(contract: Contract, found: Examined, paths: int) -> str:
    """Why CrossHair did not confirm a contract."""
    told = f"{found.paths} paths a condition"
    if names := endless(contract):
        told += f": {' and '.join(names)} may be of any size"
    elif name_of(contract) in PRODUCTS:
        told += ": z3 leaves remainders of products of unknowns open"
    else:
        return f"{found.paths} of {paths} paths a condition"
    small = [sentence_of(lemma.holds) for lemma in lemmas_about(name_of(contract))]
    return f"{told}; in small: {'; '.join(small)}" if small else told


def judge(contracts: Sequence[Contract], paths: int) -> Verdict:
    """What CrossHair says of a function, in every class that has it."""
    reach, detail, most = Reach.CONFIRMED, "", 0
    for contract in contracts:
        # What has no last path is never confirmed: it gets less.
        effort = paths if has_no_last_path(contract) else max(paths, ENOUGH)
        found = examine(contract, effort)
        most = max(most, found.paths)
        if found.refuted is not None:
            return Verdict(Reach.REFUTED, f"{contract.name}: {found.refuted}")
        if not found.confirmed and reach is Reach.CONFIRMED:
            reach, detail = Reach.OPEN, why_open(contract, found, effort)
    return Verdict(reach, detail or f"{most} paths")


def contract_statements(module: ModuleType, paths: int, only: str = "") -> Iterator[Statement]:
    """A statement for each function of a module that has a contract, in every class that has it; or for one of them."""
    for name, contracts in _by_name(module).items():
        text, rules = f"{module.__name__}.{name} keeps its contract", rules_of(contracts[0].function)
        if only in ("", name):
            yield Statement(text, rules, TOOL, partial(judge, contracts, paths))
        if not only and (bound := PRODUCTS.get(f"{module.__name__}.{name}")):
            smaller = [bounded(contract, bound) for contract in contracts]
            yield Statement(f"{text} if {bound}", rules, TOOL, partial(judge, smaller, ENOUGH))


def without_last_path(module: ModuleType) -> list[str]:
    """The functions of a module whose contracts more effort tells more about."""
    return [name for name, contracts in _by_name(module).items() if any(map(has_no_last_path, contracts))]


def _by_name(module: ModuleType) -> dict[str, list[Contract]]:
    by_name: dict[str, list[Contract]] = {}
    for contract in sorted(contracts_of(module), key=lambda contract: contract.function.__qualname__):
        by_name.setdefault(contract.function.__qualname__, []).append(contract)
    return by_name


def lemma_statements(module: ModuleType) -> Iterator[Statement]:
    """What is said within small bounds: `module` lists it in `LEMMAS`."""
    for lemma in lemmas_in(module):
        contract = contract_of(lemma.holds)
        yield Statement(sentence_of(lemma.holds), rules_of(lemma.holds), TOOL, partial(_within, contract))


def lemmas_in(module: ModuleType) -> tuple[Lemma, ...]:
    """The lemmas that a module lists."""
    lemmas: tuple[Lemma, ...] = module.LEMMAS
    return lemmas


def lemmas_about(name: str) -> Iterator[Lemma]:
    """The lemmas about the function that is called so, its module's name before its own."""
    for module in map(import_module, LEMMAS):
        for lemma in lemmas_in(module):
            if name in map(place_of, lemma.about):
                yield lemma


def _within(contract: Contract) -> Verdict:
    verdict = judge([contract], ENOUGH)
    bounds = " and ".join(pre.expr_source for pre in contract.conditions.pre)
    return Verdict(verdict.reach, f"{verdict.detail}, {bounds}" if bounds else verdict.detail)


def equivalence_statements() -> Iterator[Statement]:
    """The optimized manager's arithmetic beside the spec's."""
    for one in EQUIVALENCES:
        yield Statement(sentence_of(one.holds), rules_of(one.holds), TOOL, partial(_agreement, one))


def is_refuted_when_wrong(one: Equivalence) -> bool:
    """Whether CrossHair tells the wrong variant of the optimized side from the spec."""
    with patch.object(one.holder, one.name, one.wrong):
        return examine(contract_of(one.holds), ENOUGH).refuted is not None


def _agreement(one: Equivalence) -> Verdict:
    found = _within(contract_of(one.holds))
    return Verdict(found.reach, found.detail, one.why_wrong, is_refuted_when_wrong(one))
