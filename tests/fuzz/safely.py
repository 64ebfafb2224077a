"""Campaigns with data behind the block ids, in this process."""

from kvref.fuzz.campaign import Memory, conduct
from kvref.fuzz.play import play
from kvref.fuzz.safe import SafeRunner, SafeTarget
from kvref.fuzz.settings import Settings
from kvref.fuzz.tally import Report
from kvref.fuzz.workers import Here


def run_safely(settings: Settings, target: SafeTarget) -> Report:
    """Play the cases; nothing is known of the target."""
    runner = SafeRunner(settings, target, play, lambda _: None)
    return conduct(Here(runner), Memory(Report(target.name, settings)), lambda _: None)
