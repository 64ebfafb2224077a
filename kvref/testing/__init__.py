"""What you import in your own tests: strategies, the state machine, and its profiles. Needs Hypothesis."""

from kvref.testing.checks import Level
from kvref.testing.divergence import DivergenceError
from kvref.testing.machine import KVCacheMachine
from kvref.testing.profiles import PROFILES, register_profiles
from kvref.testing.state import State
from kvref.testing.strategies import configurations, operations, requests, states, traces

__all__ = [
    "PROFILES",
    "DivergenceError",
    "KVCacheMachine",
    "Level",
    "State",
    "configurations",
    "operations",
    "register_profiles",
    "requests",
    "states",
    "traces",
]

register_profiles()
