import numpy as np
import pytest
from probeinterface import ProbeGroup, generate_linear_probe, generate_multi_columns_probe, generate_tetrode
from spikeinterface.core import NumpyRecording

from huidurep_sorter.traces.snippets import Window, find_neighbourhoods, iterate_snippets

WINDOW = Window(n_samples=121, n_before=40, sampling_frequency=30000.0)
PEAK = [("sample_index", "int64"), ("channel_index", "int64"), ("segment_index", "int64")]


def make_recording(traces, probe, sampling_frequency=30000.0):
    traces = traces if isinstance(traces, list) else [traces]
    recording = NumpyRecording([t.astype("float32") for t in traces], sampling_frequency)
    if isinstance(probe, ProbeGroup):
        recording.set_probegroup(probe)
    else:
        probe.set_device_channel_indices(np.arange(probe.get_contact_count()))
        recording.set_probe(probe)
    return recording


def make_peaks(samples, channels, segments=0):
    peaks = np.zeros(len(samples), dtype=PEAK)
    peaks["sample_index"], peaks["channel_index"], peaks["segment_index"] = samples, channels, segments
    return peaks


def read_all(recording, peaks, window=WINDOW, n_neighbours=11):
    out = np.full((len(peaks), window.n_samples, n_neighbours), np.nan, dtype="float32")
    for indices, snippets in iterate_snippets(recording, peaks, window, find_neighbourhoods(recording, n_neighbours)):
        out[indices] = snippets
    return out


def test_snippets_equal_a_slow_reference():
    rng = np.random.default_rng(0)
    recording = make_recording(
        [rng.normal(size=(3000, 32)), rng.normal(size=(2000, 32))],
        generate_multi_columns_probe(2, [16, 16], xpitch=32, ypitch=15),
    )
    peaks = make_peaks(rng.integers(0, 2000, 60), rng.integers(0, 32, 60), rng.integers(0, 2, 60))
    found = read_all(recording, peaks)
    nearest = find_neighbourhoods(recording).channel_indices
    for peak, snippet in zip(peaks, found, strict=True):
        traces = np.pad(recording.get_traces(segment_index=peak["segment_index"]), ((200, 200), (0, 0)))
        start = peak["sample_index"] + 200 - 40
        np.testing.assert_array_equal(snippet, traces[start : start + 121][:, nearest[peak["channel_index"]]])


def test_ties_are_broken_by_position_not_by_channel_number():
    probe = generate_multi_columns_probe(2, [16, 16], xpitch=32, ypitch=15)
    recording = make_recording(np.zeros((10, 32)), probe)
    shuffled = recording.select_channels(recording.channel_ids[np.random.default_rng(0).permutation(32)])
    ours, theirs = find_neighbourhoods(recording), find_neighbourhoods(shuffled)
    for i, channel_id in enumerate(recording.channel_ids):
        j = list(shuffled.channel_ids).index(channel_id)
        np.testing.assert_array_equal(
            recording.channel_ids[ours.channel_indices[i]], shuffled.channel_ids[theirs.channel_indices[j]]
        )
    assert (ours.channel_indices[:, 0] == np.arange(32)).all()
    distance = np.round(np.linalg.norm(ours.offsets_um, axis=2))
    assert (np.diff(distance, axis=1) >= 0).all()


def test_neighbours_are_of_the_same_shank_and_padded():
    group = ProbeGroup()
    for x in (0, 60):
        tetrode = generate_tetrode()
        tetrode.move([x, 0])
        group.add_probe(tetrode)
    group.set_global_device_channel_indices(np.arange(8))
    recording = make_recording(np.random.default_rng(0).normal(size=(500, 8)), group)
    found = find_neighbourhoods(recording)
    assert (found.channel_indices[:, 4:] == -1).all() and np.isnan(found.offsets_um[:, 4:]).all()
    assert set(found.channel_indices[0, :4]) == {0, 1, 2, 3} and set(found.channel_indices[5, :4]) == {
        4,
        5,
        6,
        7,
    }
    snippet = read_all(recording, make_peaks([200], [5]))[0]
    assert (snippet[:, 4:] == 0).all() and (snippet[:, :4] != 0).all()


@pytest.mark.parametrize("sampling_frequency", [15000.0, 20000.0, 32000.0, 40000.0])
def test_resampled_snippets_follow_the_signal(sampling_frequency):
    seconds = np.arange(2000) / sampling_frequency
    recording = make_recording(np.sin(2 * np.pi * 900 * seconds)[:, None], generate_linear_probe(1), sampling_frequency)
    snippet = read_all(recording, make_peaks([1000], [0]), n_neighbours=1)[0, :, 0]
    wanted = np.sin(2 * np.pi * 900 * (1000 / sampling_frequency + (np.arange(121) - 40) / 30000.0))
    np.testing.assert_allclose(snippet, wanted, atol=0.01)


def test_beyond_the_ends_are_zeros():
    recording = make_recording(np.ones((100, 1)), generate_linear_probe(1))
    snippet = read_all(recording, make_peaks([0], [0]), n_neighbours=1)[0, :, 0]
    np.testing.assert_array_equal(snippet, np.r_[np.zeros(40), np.ones(81)])


def test_chunks_do_not_show(monkeypatch):
    rng = np.random.default_rng(0)
    recording = make_recording(rng.normal(size=(5000, 4)), generate_tetrode())
    peaks = make_peaks(rng.integers(0, 5000, 40), rng.integers(0, 4, 40))
    whole = read_all(recording, peaks)
    monkeypatch.setattr("huidurep_sorter.traces.snippets.VALUES_PER_CHUNK", 2000)
    np.testing.assert_array_equal(read_all(recording, peaks), whole)


def test_no_peak_no_snippet():
    recording = make_recording(np.zeros((100, 1)), generate_linear_probe(1))
    assert list(iterate_snippets(recording, make_peaks([], []), WINDOW, find_neighbourhoods(recording))) == []


def test_a_window_of_as_many_native_samples_is_resampled_too():
    """At 27.9 kHz this window reads 129 native samples for its 129: the shape doesn't tell the clock."""
    window = Window(n_samples=129, n_before=44, sampling_frequency=30000.0)
    seconds = np.arange(2000) / 27900.0
    recording = make_recording(np.sin(2 * np.pi * 900 * seconds)[:, None], generate_linear_probe(1), 27900.0)
    snippet = read_all(recording, make_peaks([1000], [0]), window, n_neighbours=1)[0, :, 0]
    wanted = np.sin(2 * np.pi * 900 * (1000 / 27900.0 + (np.arange(129) - 44) / 30000.0))
    np.testing.assert_allclose(snippet, wanted, atol=0.01)
