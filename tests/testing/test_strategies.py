from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvref.errors import ConfigurationError
from kvref.fuzz.habits import Habits
from kvref.operations import (
    Allocate,
    Configuration,
    FullGroup,
    Lookup,
    NewRequest,
    Observation,
    Operation,
    Trace,
)
from kvref.protocol import Scheduler
from kvref.targets.reference import ReferenceSession
from kvref.testing import State, configurations, operations, requests, states, traces
from kvref.testing.choices import drawn

PLAIN = Configuration((FullGroup(4),), 20, 64, 4, 4)
QUICK = settings(max_examples=25, suppress_health_check=list(HealthCheck))


def test_a_configuration_shrinks_to_one_group_of_small_blocks() -> None:
    found = find(configurations(profile="clean"), lambda one: one.enable_caching and len(one.groups) == 1)
    assert found.groups == (FullGroup(1),)


@QUICK
@given(configurations())
def test_most_configurations_can_be_built(configuration: Configuration) -> None:
    try:
        session = ReferenceSession(configuration)
    except ConfigurationError:
        return
    assert len(session.view().ref_counts) == configuration.num_blocks


def test_a_request_often_begins_like_an_earlier_one() -> None:
    earlier = NewRequest("r0", tuple(range(12)))

    def continues(request: NewRequest) -> bool:
        return request.tokens[:12] == earlier.tokens and len(request.tokens) > 12

    found = find(requests(PLAIN, earlier=[earlier], extras=False), continues)
    assert found == NewRequest("r1", (*earlier.tokens, 0))


@QUICK
@given(requests(PLAIN))
def test_a_request_leaves_room_for_an_output(request: NewRequest) -> None:
    assert 1 <= len(request.tokens) <= PLAIN.max_model_len - 2


@QUICK
@given(st.data())
def test_every_operation_is_legal_where_it_is_drawn(data: DataObject) -> None:
    configuration = data.draw(configurations(profile="clean"))
    session = ReferenceSession(configuration)
    state = data.draw(states(configuration))
    for _ in range(30):
        operation = data.draw(operations(state))
        assert state.scheduler.violation(operation) is None
        state.record(operation, session.apply(operation))


@QUICK
@given(drawn(), st.data())
def test_a_state_can_be_made_by_hand(choices: object, data: DataObject) -> None:
    state = State(choices, PLAIN, Habits())  # type: ignore[arg-type]
    state.record(NewRequest("mine", (1, 2)), Observation())
    assert [request.name for request in state.requests()] == ["mine"]
    operation = data.draw(operations(state))
    assert getattr(operation, "request", "mine") in ("mine", "r0")


@QUICK
@given(traces(length=40))
def test_a_trace_is_legal_from_its_first_operation_to_its_last(trace: Trace) -> None:
    scheduler = Scheduler(trace.configuration.max_model_len, drafts=4)
    session = ReferenceSession(trace.configuration) if trace.operations else None
    for operation in trace.operations:
        assert scheduler.violation(operation) is None
        assert session is not None
        scheduler.record(operation, session.apply(operation))


def has_a_hit(operation: Operation) -> bool:
    return isinstance(operation, Allocate) and bool(operation.hit)


def test_traces_get_to_a_hit() -> None:
    found = find(
        traces(),
        lambda trace: any(map(has_a_hit, trace.operations)),
        settings=settings(max_examples=2000, phases=[Phase.generate]),
    )
    assert Lookup in [type(operation) for operation in found.operations]
