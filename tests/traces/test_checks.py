"""Bad input gives a clear error before any work; odd but good input is sorted."""

import numpy as np
import pytest
from probeinterface import ProbeGroup, generate_linear_probe
from spikeinterface.core import NumpyRecording

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.traces.checks import check_recording, prepare_recording

PARAMETERS = SortingParameters()


def noise(n_samples=60_000, n_channels=4, scale=10.0, seed=0):
    return np.random.default_rng(seed).normal(0, scale, (n_samples, n_channels)).astype("float32")


def make_recording(*segments, sampling_frequency=30000.0, probe=None):
    recording = NumpyRecording(list(segments), sampling_frequency)
    if probe is None:
        probe = generate_linear_probe(segments[0].shape[1], ypitch=20)
    probe.set_device_channel_indices(np.arange(probe.get_contact_count()))
    recording.set_probe(probe)
    return recording


def with_value(value, where=30_000, channel=2):
    traces = noise()
    traces[where, channel] = value
    return traces


@pytest.mark.parametrize(
    "recording",
    [
        make_recording(noise()),
        make_recording(noise(n_channels=1)),
        make_recording(noise(n_channels=2)),
        make_recording(noise(), noise(n_samples=3000)),
        make_recording((noise() * 5 + 20_000).astype("int16")),
        make_recording((noise() * 5 + 30_000).astype("uint16")),
        make_recording(noise(scale=1e-5)),
        make_recording(noise(), sampling_frequency=15000.0),
        make_recording(with_value(np.inf, where=-1)),
        make_recording(with_value(np.nan, where=0, channel=3)),
    ],
    ids=[
        "plain",
        "one channel",
        "two",
        "two segments",
        "int16 offset",
        "uint16 offset",
        "volts",
        "15 kHz",
        "inf",
        "NaN",
    ],
)
def test_good_input_passes_unchanged(recording):
    check_recording(recording, PARAMETERS)
    assert prepare_recording(recording) is recording


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        (NumpyRecording([noise()], 30000.0), "no probe"),
        (make_recording(noise(n_samples=10_000)), "too short: 0.333 s"),
        (make_recording(noise(), noise(n_samples=100)), "segment 1 is too short"),
        (
            make_recording(np.where(np.arange(4) == 2, np.nan, noise())),
            "NaN or infinite values on channels 2",
        ),
        (make_recording(noise(), sampling_frequency=2500.0), "2500 Hz is too low for spikes.*LFP"),
    ],
    ids=["no probe", "short", "short segment", "NaN", "LFP"],
)
def test_bad_input_is_refused(recording, message):
    with pytest.raises(ValueError, match=message):
        check_recording(recording, PARAMETERS)


def test_same_location_twice_is_refused():
    probes = ProbeGroup()
    for _ in range(2):
        probes.add_probe(generate_linear_probe(2, ypitch=20))
    probes.set_global_device_channel_indices(np.arange(4))
    recording = NumpyRecording([noise()], 30000.0)
    recording.set_probegroup(probes, check_overlap=False)
    with pytest.raises(ValueError, match="same location"):
        check_recording(recording, PARAMETERS)


def test_without_preprocessing_freq_min_does_not_count_but_the_sampling_frequency_does():
    parameters = SortingParameters(apply_preprocessing=False, freq_min=2900.0)
    check_recording(make_recording(noise(), sampling_frequency=6000.0), parameters)
    with pytest.raises(ValueError, match="1000 Hz is too low for spikes"):
        check_recording(make_recording(noise(), sampling_frequency=1000.0), parameters)


@pytest.mark.parametrize("value", [0.0, -7.0])
def test_dead_channel_is_left_out_with_a_warning(value, caplog):
    traces = noise()
    traces[:, 1] = value
    recording = make_recording(traces)
    check_recording(recording, PARAMETERS)
    prepared = prepare_recording(recording)
    assert list(prepared.channel_ids) == [0, 2, 3]
    np.testing.assert_array_equal(prepared.get_channel_locations(), recording.get_channel_locations()[[0, 2, 3]])
    assert "channels without signal are left out: 1" in caplog.text


def test_a_copy_of_another_channel_is_left_out_with_a_warning(caplog):
    traces = noise()
    traces[:, 3] = traces[:, 0]
    prepared = prepare_recording(make_recording(traces))
    assert list(prepared.channel_ids) == [0, 1, 2]
    assert "copies of others (shorted?) are left out: 3" in caplog.text


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_unplugged_recording_has_nothing_to_sort(value):
    with pytest.raises(NothingFound, match="unplugged"):
        prepare_recording(make_recording(np.full((60_000, 4), value, dtype="float32")))


def test_an_empty_segment_is_nothing_to_sort():
    with pytest.raises(NothingFound, match="empty"):
        prepare_recording(make_recording(noise(), np.zeros((0, 4), dtype="float32")))


@pytest.mark.parametrize("dtype", ["bool", "complex64"])
def test_traces_that_are_no_voltages_are_refused(dtype):
    with pytest.raises(ValueError, match=f"of type {dtype}"):
        check_recording(make_recording(noise().astype(dtype)), PARAMETERS)


def test_infinite_values_are_no_signal_and_no_arithmetic():
    traces = with_value(np.inf, where=slice(0, 6000))
    traces[:, 1] = 5
    with np.errstate(all="raise"):
        prepared = prepare_recording(make_recording(traces))
    assert list(prepared.channel_ids) == [0, 2, 3]


@pytest.mark.parametrize("value", [0.0, 5e-12])
def test_channel_that_is_dead_but_for_a_step_or_missing_values_is_left_out(value):
    traces = noise().astype("float64")
    traces[:, 1:3] = value
    traces[20_000:, 1] = 1000.0
    traces[10_000:20_000, 2] = np.nan
    assert list(prepare_recording(make_recording(traces)).channel_ids) == [0, 3]


def test_channels_are_not_dead_where_all_are_blanked():
    traces = noise(n_samples=120_000)
    traces[:90_000] = 0
    recording = make_recording(traces)
    assert prepare_recording(recording) is recording


def test_channel_that_wakes_up_is_kept():
    traces = noise(n_samples=120_000)
    traces[:60_000, 1] = 0
    recording = make_recording(traces)
    assert prepare_recording(recording) is recording


def test_a_pause_in_the_times_is_none_in_the_samples():
    recording = make_recording(noise())
    times = np.arange(60_000) / 30000.0
    times[30_000:] += 3 * 3600.0
    recording.set_times(times)
    prepared = prepare_recording(recording)
    assert prepared.get_total_duration() == pytest.approx(2.0, abs=0.001)
    assert recording.get_times()[-1] > 10_000  # the user's own recording keeps its times
    np.testing.assert_array_equal(prepared.get_traces(), recording.get_traces())


@pytest.mark.parametrize("axes", ["xy", "xz", "yz"])
def test_three_dimensional_probe_keeps_its_plane_and_groups(axes):
    flat = generate_linear_probe(4, ypitch=20)
    recording = make_recording(noise(), probe=flat.to_3d(axes=axes))
    recording.set_property("group", [0, 0, 1, 1])
    check_recording(recording, PARAMETERS)
    prepared = prepare_recording(recording)
    assert not prepared.has_3d_probe() and recording.has_3d_probe()
    extent = np.ptp(prepared.get_channel_locations(), axis=0)
    assert sorted(extent) == [0.0, 60.0]
    assert list(prepared.get_property("group")) == [0, 0, 1, 1]
    np.testing.assert_array_equal(prepared.get_traces(), recording.get_traces())


def test_a_pass_band_above_the_sampling_frequency_is_refused():
    with pytest.raises(ValueError, match="freq_min"):
        check_recording(make_recording(noise(), sampling_frequency=8000.0), SortingParameters(freq_min=3900.0))
