"""A few of the fuzzer's seeds; `python -m tests.fuzzer 1000` runs a thousand."""

import pytest

from .fuzzer import make_case, run_case

N_SEEDS = 30
KNOWN = {  # seed: a failure that isn't mended yet; take it out when it is
    0: "the mode 'zarr' leaves its cache in the folder",
    9: "the mode 'zarr' leaves its cache in the folder",
    14: "tdc-peeler takes no templates that are positive",
}


def marked(seed):
    """Give a seed as a parameter, marked where it is known to fail."""
    return pytest.param(seed, marks=pytest.mark.xfail(reason=KNOWN[seed]) if seed in KNOWN else ())


@pytest.mark.parametrize("seed", map(marked, range(N_SEEDS)))
def test_a_strange_recording_ends_in_a_whole_sorting_or_one_clear_error(seed):
    assert run_case(seed) in {"sorted", "empty", "refused"}


def test_a_seed_always_makes_the_same():
    (first, *chosen), (second, *again) = make_case(3), make_case(3)
    assert repr(chosen) == repr(again)
    for segment in range(first.get_num_segments()):
        assert first.get_traces(segment).tobytes() == second.get_traces(segment).tobytes()
