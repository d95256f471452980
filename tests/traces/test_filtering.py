"""The compiled filter and median beside SciPy's and NumPy's, through SpikeInterface."""

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, load
from spikeinterface.preprocessing import bandpass_filter, common_reference

from huidurep_sorter.traces.filtering import BandPassRecording, MedianReferencedRecording, medians_of_rows

FILTER = dict(freq_min=150.0, freq_max=7000.0, ftype="bessel", filter_order=2, dtype="float32")


def random_recording(dtype="float32", n_channels=5, lengths=(9000, 40), offset=0.0):
    rng = np.random.default_rng(0)
    traces = [np.cumsum(rng.normal(size=(n, n_channels)), axis=0) * 20 + offset for n in lengths]
    return NumpyRecording([values.astype(dtype) for values in traces], 30000.0)


@pytest.mark.parametrize(("dtype", "offset"), [("float32", 0), ("float64", 1e5), ("int16", 500), ("uint16", 30000)])
@pytest.mark.parametrize(
    "options", [FILTER, FILTER | dict(ftype="butter", filter_order=5), FILTER | dict(freq_min=300)]
)
def test_it_filters_as_scipy_does(dtype, offset, options):
    recording = random_recording(dtype, offset=offset)
    expected, found = bandpass_filter(recording, **options), BandPassRecording(recording, **options)
    for segment, start, stop in ((0, 0, 9000), (0, 4000, 4001), (0, 8990, 9000), (1, 0, 40), (1, 10, 12)):
        where = dict(segment_index=segment, start_frame=start, end_frame=stop)
        right, traces = expected.get_traces(**where), found.get_traces(**where)
        assert traces.dtype == np.float32 and traces.shape == right.shape
        np.testing.assert_allclose(traces, right, atol=1e-5 * np.abs(right).max() + 1e-4)


def test_a_filter_reads_what_is_asked_for_and_survives_saving():
    recording = random_recording()
    found = BandPassRecording(recording, **FILTER)
    again = load(found.to_dict())
    some = recording.channel_ids[[3, 1]]
    for reread in (found, again):
        part = reread.get_traces(segment_index=0, start_frame=50, end_frame=90, channel_ids=some)
        np.testing.assert_array_equal(part, found.get_traces(segment_index=0)[50:90][:, [3, 1]])


@pytest.mark.parametrize("n_channels", [1, 2, 5, 384])
def test_medians_are_those_of_numpy(n_channels):
    values = np.random.default_rng(1).normal(size=(300, n_channels)).astype("float32")
    for rows in (values, np.round(values), 1e-30 * values, np.zeros_like(values), values + 1e6):
        np.testing.assert_array_equal(medians_of_rows(rows), np.median(rows, axis=1))


def test_the_reference_is_that_of_spikeinterface():
    recording = random_recording(n_channels=33)
    expected, found = common_reference(recording), MedianReferencedRecording(recording)
    for reread in (found, load(found.to_dict())):
        part = dict(segment_index=0, start_frame=7, end_frame=2000, channel_ids=recording.channel_ids[[2, 0, 30]])
        np.testing.assert_array_equal(reread.get_traces(**part), expected.get_traces(**part))
