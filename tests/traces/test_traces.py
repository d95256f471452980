"""Traces know how long they have a signal."""

from dataclasses import replace

import numpy as np

from huidurep_sorter.traces.periods import SetAside, as_periods
from tests.known import FS, on_four_channels


def test_time_stands_still_while_there_is_no_signal():
    filled = as_periods([np.array([[1000, 2000], [5000, 5500]])])
    traces = replace(on_four_channels(np.zeros((10_000, 4))), set_aside=SetAside(reduced=filled[:0], filled=filled))
    assert traces.n_samples == 10_000 and traces.n_samples_with_signal == 8500
    assert traces.duration_s == 8500 / FS
    samples = np.array([0, 999, 2000, 4999, 5500, 9999])
    assert traces.on_clock_of_signal(samples).tolist() == [0, 999, 1000, 3999, 4000, 8499]
