"""A few of the fuzzer's seeds; `python -m tests.fuzzer 1000` runs a thousand."""

import pytest

from .fuzzer import make_case, run_case

N_SEEDS = 30


@pytest.mark.parametrize("seed", range(N_SEEDS))
def test_a_strange_recording_ends_in_a_whole_sorting_or_one_clear_error(seed):
    assert run_case(seed) in {"sorted", "empty", "refused"}


def test_a_seed_always_makes_the_same():
    (first, *chosen), (second, *again) = make_case(3), make_case(3)
    assert repr(chosen) == repr(again)
    for segment in range(first.get_num_segments()):
        assert first.get_traces(segment).tobytes() == second.get_traces(segment).tobytes()
