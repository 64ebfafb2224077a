"""Tokens in flight are counted from the step that computes them to its end."""

from kvref.targets.vllm.in_flight import StepsInFlight


class Asked:
    num_in_flight_tokens = 0


def test_the_oldest_step_ends_first() -> None:
    steps, one, other = StepsInFlight(), Asked(), Asked()
    steps.begin()
    steps.schedule(one, 5)
    steps.begin()
    steps.schedule(one, 1)
    steps.schedule(other, 2)
    assert (one.num_in_flight_tokens, other.num_in_flight_tokens) == (6, 2)
    steps.end()
    assert (one.num_in_flight_tokens, other.num_in_flight_tokens) == (1, 2)
    steps.end()
    assert (one.num_in_flight_tokens, other.num_in_flight_tokens) == (0, 0)


def test_what_is_scheduled_outside_a_step_is_in_flight_until_one_ends() -> None:
    steps, one = StepsInFlight(), Asked()
    steps.end()
    steps.schedule(one, 3)
    assert one.num_in_flight_tokens == 3
    steps.end()
    assert one.num_in_flight_tokens == 0
