"""Levels exact and invariants: cases are drawn on a manager here, and run on the target as a whole."""

import gc
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from invariants.view import View
from kvref.compare import Difference
from kvref.fuzz.cases import Case, Notice, draw_case
from kvref.fuzz.interrupts import deferred
from kvref.fuzz.settings import CaseNumber, Settings, Shard
from kvref.fuzz.tally import Report
from kvref.judge import AGAINST_REFERENCE, Finding, Terms, judge
from kvref.operations import Configuration, Observation, Operation
from kvref.targets.base import CaseResult, LiveTarget, Target, TargetGivenUpError
from kvref.targets.picture import Opener
from kvref.witness import Witness

if TYPE_CHECKING:
    from kvref.dataplane.safety import Safety

SHOWN = 8
"""So many broken invariants are told of one case."""


class ExactRunner:
    """Holds a target against the managers that `opener` builds, or those of `terms.against`.

    At level invariants these are the target's own: its cases are played once, and checked meanwhile.
    """

    def __init__(
        self, settings: Settings, opener: Opener, target: Target, terms: Terms = AGAINST_REFERENCE
    ) -> None:
        self.settings = settings
        self.opener = opener
        self.target = target
        self.terms = terms
        self._thread = ThreadPoolExecutor(max_workers=1)
        _data_plane()  # torch takes a second to import, which is no operation's
        gc.freeze()  # what was imported stays: no collection need look at it again

    @property
    def cpu_seconds(self) -> float:
        """Processor time used so far, in this process and the target's."""
        against = self.terms.against
        beside = against.cpu_seconds if against is not None else 0.0
        return time.process_time() + self.target.cpu_seconds + beside

    def begin(self, shard: Shard) -> "ExactBatch":
        """Draw a shard's cases, and have the target run them in a thread."""
        report = Report(self.target.name, self.settings, against=self.terms.name)
        cases = [self._draw(number, report) for number in shard]
        return ExactBatch(self, report, cases, self._thread.submit(self._results, cases))

    def close(self) -> None:
        """Let go of the thread. It ends when the target does, should that hang."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        gc.unfreeze()

    def _results(self, cases: list[Case]) -> list[CaseResult]:
        """What the target shows. At level invariants the cases were played on the target itself."""
        if self.settings.level == "invariants":
            return [case.expected for case in cases]
        return self.target.run([case.trace for case in cases])

    def _draw(self, number: CaseNumber, report: Report) -> Case:
        """Draw a case; hold it against the invariants on some, and careful ones against the data.

        So is what stands in for the reference, if it claims to be sound.
        """
        settings, against = self.settings, self.terms.against
        broken: list[tuple[Operation, Difference]] = []
        is_sound = against is None or against.capabilities.is_sound
        witnessed = is_sound and (settings.level == "invariants" or number % settings.witnessed == 0)
        safety_of = _data_plane() if is_sound and settings.follows(number) else None
        opener = self.opener if against is None else against.opener
        sides = (self.target,) if against is None else (against, self.target)
        offers = [side.capabilities for side in sides if isinstance(side, LiveTarget)]
        following: list[Safety] = []

        def notice(configuration: Configuration) -> Notice:
            witness = Witness(configuration) if witnessed else None
            report.witnessed += witnessed
            if safety_of is not None:
                following.append(safety_of(configuration, opener, as_specified=True))

            def see(operation: Operation, observation: Observation, view: View) -> None:
                if witness is not None:
                    found = witness.sees(operation, observation, view)
                    broken.extend((operation, Difference(v.invariant, "holds", v.message)) for v in found)
                # After a caller's mistake there is nothing to follow.
                for safety in following if observation.error is None else ():
                    broken.extend((operation, wrong) for wrong in safety.sees(operation, observation))

            return see

        case = draw_case(
            settings.seed,
            settings.profile,
            number,
            settings.length,
            opener,
            self.terms.catalogue(self.target),
            notice if witnessed or safety_of is not None else None,
            [offered for offered in offers if not offered.is_everything],
            guidance=settings.guidance,
        )
        report.slots_checked += sum(safety.checked for safety in following)
        if broken:
            told = tuple(difference for _, difference in broken[:SHOWN])
            report.found.add(Finding(case.trace, broken[0][0], told))
        return case


class ExactBatch:
    """Cases that were drawn, and what the target will have shown."""

    def __init__(
        self, runner: ExactRunner, report: Report, cases: list[Case], results: Future[list[CaseResult]]
    ) -> None:
        self.report = report
        self._runner = runner
        self._cases = cases
        self._results = results

    def settle(self) -> None:
        """Judge every case. Raises TargetGivenUpError behind those that the target has answered."""
        given_up = None
        try:
            results = self._results.result()
        except TargetGivenUpError as lost:
            given_up, results = lost, list(lost.results)
        for case, result in zip(self._cases, results, strict=given_up is None):
            self._settle(case, result)
        if given_up is not None:
            raise given_up

    def _settle(self, case: Case, result: CaseResult) -> None:
        report, runner = self.report, self._runner
        report.cases += 1
        report.add_configuration(case.trace.configuration)
        report.refused_by_both += bool(case.expected.refused and result.refused)
        judgement = judge(runner.opener, runner.target, case.trace, case.expected, result, runner.terms)
        if judgement.known is not None:
            report.deviations[judgement.known.id] += 1
        if judgement.finding is not None:
            report.found.add(judgement.finding)
        if not case.trace.operations:
            return
        report.operations += judgement.agreed
        report.lengths[judgement.agreed] += 1
        if judgement.agreed == len(case.trace.operations):
            report.whole += 1
            report.coverage.add(case.coverage)


def _data_plane() -> "type[Safety] | None":
    """What follows careful cases, where torch is installed. Its import loses a Ctrl-C, and so is spared it."""
    try:
        with deferred():
            from kvref.dataplane.safety import Safety  # noqa: PLC0415 - torch is optional, and slow
    except ModuleNotFoundError as absent:
        if absent.name != "torch":
            raise
        return None
    return Safety
