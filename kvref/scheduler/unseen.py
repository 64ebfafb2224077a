"""Transitions that are legal, and were not seen from the real scheduler; each with why it is kept."""

from kvref.scheduler.situations import Transition

_OTHER_MODELS = "models with an encoder are not among the workloads"
_OTHER_CALLERS = "the manager's interface allows it, and other callers do it"

UNSEEN: dict[Transition, str] = {
    ("Allocate", "admission, encoder tokens"): _OTHER_MODELS,
    ("Allocate", "admission, encoder tokens, refused"): _OTHER_MODELS,
    ("Allocate", "admission, its hit unused"): "as with a lookup that found nothing; it keeps traces short",
    ("Allocate", "admission, its hit unused, refused"): "as the one that is granted",
    ("Allocate", "loaded, its first step, refused"): "scarce blocks; a matter of chance",
    ("Allocate", "running, a chunk, ahead of its outputs, refused"): "scarce blocks; a matter of chance",
    ("Allocate", "running, computed again: a load was lost, refused"): "scarce blocks; a matter of chance",
    ("CommonPrefix", "a question, none in flight"): _OTHER_CALLERS,
    ("Free", "loading, its step not run"): (
        "the scheduler waits until a load is told as done; a connector without delayed frees would not"
    ),
    ("RemoveSkipped", "finished"): _OTHER_CALLERS,
    ("Reset", "refused, a step in flight"): "asked at any time; seen with none in flight",
    ("StepEnds", "no other in flight, outputs that never came"): "a plain scheduler with delayed frees",
    ("TakeNewBlockIds", "a question, none in flight"): _OTHER_CALLERS,
}
