"""Mean waveforms of spikes of known origin."""

from dataclasses import replace

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.spikes.spikes import as_spike_vector
from huidurep_sorter.templates.waveforms import average_waveforms, lags_of_peaks, window_samples
from tests.known import noise_with_spikes


def test_averages_are_the_same_to_the_last_digit_for_any_number_of_processes():
    traces, times = noise_with_spikes()
    spikes = as_spike_vector(times, np.arange(len(times)) % 2)
    one, two = (
        average_waveforms(replace(traces, job_kwargs=dict(n_jobs=n, chunk_duration="0.2s")), spikes, 2, 20, 40)
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_the_average_is_the_mean_of_the_windows():
    traces, times = noise_with_spikes(n_spikes=20)
    array = traces.recording.get_traces()
    slow = np.mean([array[time - 20 : time + 40] for time in times], axis=0)
    fast = average_waveforms(traces, as_spike_vector(times, np.zeros(20)), 1, 20, 40)[0]
    np.testing.assert_allclose(fast, slow, atol=1e-5)


@pytest.mark.parametrize(("peak_sign", "lag"), [("neg", -3), ("pos", 4), ("both", 4)])
def test_the_lag_is_that_of_the_largest_deflection_of_the_sign(peak_sign, lag):
    waveform = np.zeros((1, 20, 3))
    waveform[0, 7, 1], waveform[0, 14, 2] = -5.0, 6.0
    assert lags_of_peaks(waveform, 10, peak_sign).tolist() == [lag]


def test_the_window_is_in_samples_of_the_recording():
    traces, _ = noise_with_spikes(n_spikes=0)
    assert window_samples(traces, SortingParameters(ms_before=1.0, ms_after=2.0)) == (30, 60)
