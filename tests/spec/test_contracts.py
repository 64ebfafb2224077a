"""Every public function of the spec says what it promises, and which rules it states."""

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pkgutil import iter_modules

import pytest

import spec

RULE = re.compile(r"\[[A-Z]+-\d+|\bQ-\d+")
MODULES = [import_module(f"spec.{module.name}") for module in iter_modules(spec.__path__)]


def public_functions() -> Iterator[Callable[..., object]]:
    for module in MODULES:
        own = [v for v in vars(module).values() if getattr(v, "__module__", None) == module.__name__]
        for value in own:
            if inspect.isfunction(value) and not value.__name__.startswith("_"):
                yield value
            if inspect.isclass(value):
                for name, member in vars(value).items():
                    method = member.fget if isinstance(member, property) else member
                    if inspect.isfunction(method) and not name.startswith("_"):
                        yield method


FUNCTIONS = {function.__qualname__: function for function in public_functions()}


def test_the_spec_has_functions_to_look_at() -> None:
    assert {"longest_hit", "is_kept", "growth", "SlidingWindowAttention.blocks_read"} <= set(FUNCTIONS)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_public_function_promises_something(name: str) -> None:
    promises = re.findall(r"^\s*post: (.*)", FUNCTIONS[name].__doc__ or "", flags=re.MULTILINE)
    assert promises
    assert promises != ["True"]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_public_function_names_a_rule_or_belongs_to_a_class_that_does(name: str) -> None:
    owner = name.partition(".")[0]
    docs = [FUNCTIONS[name].__doc__ or ""]
    docs += [getattr(module, owner).__doc__ or "" for module in MODULES if hasattr(module, owner)]
    assert any(RULE.search(doc) for doc in docs)
