"""Contracts as statements for CrossHair: those of `spec` and `invariants`, lemmas about them, equivalences."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from types import ModuleType
from unittest.mock import patch

from tools.prove.same_arithmetic import EQUIVALENCES, Equivalence
from tools.prove.statement import Reach, Statement, Verdict
from tools.prove.symbolic import Contract, Examined, bounded, contract_of, contracts_of, examine

TOOL = "CrossHair"
RULE = re.compile(r"\b(?:Q|[A-Z]+)-\d+\b")
ENOUGH = 400
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
        if re.search(r"Sequence|list|set|tuple|str|bytes|Callable|Hash|Key|SpecGroup|Release|Record", kinds):
            names.append(name)
    return names


def name_of(contract: Contract) -> str:
    """Where a contract's function is written."""
    return f"{contract.function.__module__}.{contract.function.__qualname__}"


def why_open(contract: Contract, found: Examined, paths: int) -> str:
    """Why CrossHair did not confirm a contract."""
    if names := endless(contract):
        return f"{found.paths} paths a condition: {' and '.join(names)} may be of any size"
    if name_of(contract) in PRODUCTS:
        return f"{found.paths} paths a condition: z3 leaves remainders of products of unknowns open"
    return f"{found.paths} of {paths} paths a condition"


def judge(contracts: Sequence[Contract], paths: int) -> Verdict:
    """What CrossHair says of a function, in every class that has it."""
    reach, detail, most = Reach.CONFIRMED, "", 0
    for contract in contracts:
        # What has no last path is never confirmed: it gets less.
        effort = paths if endless(contract) or name_of(contract) in PRODUCTS else max(paths, ENOUGH)
        found = examine(contract, effort)
        most = max(most, found.paths)
        if found.refuted is not None:
            return Verdict(Reach.REFUTED, f"{contract.name}: {found.refuted}")
        if not found.confirmed and reach is Reach.CONFIRMED:
            reach, detail = Reach.OPEN, why_open(contract, found, effort)
    return Verdict(reach, detail or f"{most} paths")


def contract_statements(module: ModuleType, paths: int) -> Iterator[Statement]:
    """A statement for each function of a module that has a contract, in every class that has it."""
    by_function = sorted(contracts_of(module), key=lambda contract: contract.function.__qualname__)
    for name, contracts in groupby(by_function, key=lambda contract: contract.function.__qualname__):
        group = list(contracts)
        text = f"{module.__name__}.{name} keeps its contract"
        yield Statement(text, rules_of(group[0].function), TOOL, partial(judge, group, paths))
        if bound := PRODUCTS.get(f"{module.__name__}.{name}"):
            smaller = [bounded(contract, bound) for contract in group]
            yield Statement(
                f"{text} if {bound}", rules_of(group[0].function), TOOL, partial(judge, smaller, ENOUGH)
            )


def smaller_statements(module: ModuleType) -> Iterator[Statement]:
    """What is said within small bounds: `module` lists it in `SMALLER`."""
    for function in module.SMALLER:
        yield Statement(
            sentence_of(function), rules_of(function), TOOL, partial(_within, contract_of(function))
        )


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
