import logging
from types import SimpleNamespace

import numpy as np
import pytest
from probeinterface import generate_linear_probe
from scipy.signal import butter, sosfilt
from spikeinterface.core import NumpyRecording
from spikeinterface.preprocessing import bandpass_filter, phase_shift
from threadpoolctl import threadpool_limits

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.traces import preprocessing
from huidurep_sorter.traces.preprocessing import cache_folder, preprocess


def noise(n_channels, sampling_frequency=30000.0, scale=1.0, offset=0.0, dtype="float32"):
    traces = np.random.default_rng(0).normal(size=(60000, n_channels)) * scale + offset
    recording = NumpyRecording([traces.astype(dtype)], sampling_frequency)
    probe = generate_linear_probe(n_channels)
    probe.set_device_channel_indices(np.arange(n_channels))
    recording.set_probe(probe)
    return recording


@pytest.mark.parametrize(
    "scale, offset, dtype", [(10, 0, "float32"), (1e-5, 0, "float32"), (30, 2056, "int16"), (30, 2056, "uint16")]
)
@pytest.mark.parametrize("n_channels", [1, 4, 40])
def test_the_result_is_in_units_of_noise(n_channels, scale, offset, dtype):
    traces = preprocess(noise(n_channels, scale=scale, offset=offset, dtype=dtype)).get_traces()
    assert traces.dtype == np.float32
    np.testing.assert_allclose(traces.std(axis=0), 1.0, atol=0.1)
    np.testing.assert_allclose(traces.mean(axis=0), 0.0, atol=0.1)


def test_a_slow_recording_is_filtered_below_its_limit():
    assert np.isfinite(preprocess(noise(4, sampling_frequency=10000.0)).get_traces()).all()


def test_same_seed_same_traces():
    one, two = (preprocess(noise(8), seed=3).get_traces() for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_the_number_of_threads_changes_nothing():
    whitened = []
    for n_threads in (1, 2):
        with threadpool_limits(limits=n_threads):
            whitened.append(preprocess(noise(64)).get_traces())
    np.testing.assert_array_equal(*whitened)


@pytest.mark.parametrize("free", [0, 10**12])
def test_traces_are_kept_on_disk_only_where_there_is_room(monkeypatch, caplog, tmp_path, free):
    monkeypatch.setattr(preprocessing.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    recording, folder = preprocess(noise(4)), tmp_path / "sorter_output" / "cache"
    assert cache_folder(recording, "auto", folder) == (folder if free else None)
    assert ("free" in caplog.text) == (free == 0)
    assert cache_folder(recording, "auto", None) is None
    if free:
        assert cache_folder(recording, "folder", folder) == folder
    else:
        with pytest.raises(OSError, match="no-cache"):
            cache_folder(recording, "folder", folder)


@pytest.mark.parametrize("gain", [1.0, 1e-6])
@pytest.mark.parametrize("apply_whitening", [True, False])
def test_what_the_user_filtered_is_scaled_to_noise_in_any_unit(gain, apply_whitening):
    rng = np.random.default_rng(0)
    traces = (rng.normal(size=(60_000, 4)) * [5.0, 10.0, 20.0, 40.0] * gain).astype("float32")
    recording = NumpyRecording([traces], 30000.0)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(4)]))
    parameters = SortingParameters(apply_preprocessing=False, apply_whitening=apply_whitening)
    prepared, _ = preprocessing.prepare(recording, parameters)
    prepared = prepared.get_traces()
    np.testing.assert_allclose(prepared.std(axis=0), 1.0, rtol=0.05)
    correlation = [np.corrcoef(prepared[:, c], traces[:, c])[0, 1] for c in range(4)]
    assert min(correlation) > 0.99  # no filter, and no channel mixed with another that is independent of it


def test_one_step_of_the_baseline_does_not_decide_the_whitening():
    rng = np.random.default_rng(0)
    traces = (rng.normal(size=(300_000, 1)) + rng.normal(size=(300_000, 4))).astype("float32")
    spread = preprocessing.spread(recording_at(traces))
    plain = preprocessing.whitening_matrix(recording_at(traces), 100.0)
    traces[spread["start_sample_index"][3] + 100 :][:300] += [900.0, -500.0, 300.0, 100.0]
    stepped = preprocessing.whitening_matrix(recording_at(traces), 100.0)
    np.testing.assert_allclose(stepped, plain, atol=0.02)
    whitened = traces[:10_000] @ plain
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(4), atol=0.06)


def test_channels_that_depend_on_others_are_not_blown_up():
    """A mean reference leaves one direction without any variance: whitening must not make noise of it."""
    traces = np.random.default_rng(0).normal(size=(60_000, 4))
    traces -= traces.mean(axis=1, keepdims=True)
    prepared = preprocessing.whiten_locally(recording_at(np.round(50 * traces)), 100.0, 0).get_traces()
    assert 0.8 < prepared.std() < 1.2 and np.abs(preprocessing.whitening_matrix(recording_at(traces), 100.0)).max() < 20


@pytest.mark.parametrize("gain", [1e-12, 1e6])
def test_traces_of_any_size_are_whitened_alike(gain):
    traces = np.random.default_rng(0).normal(size=(60_000, 4))
    plain = preprocessing.whiten_locally(recording_at(traces), 100.0, 0).get_traces()
    scaled = preprocessing.whiten_locally(recording_at(gain * traces), 100.0, 0).get_traces()
    np.testing.assert_allclose(scaled, plain, atol=1e-3)


def recording_at(traces):
    """Traces (n_samples, 4) on contacts 20 um apart."""
    recording = NumpyRecording([traces], 30000.0)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(4)]))
    return recording


def shifted_recording(n_channels=12):
    """Common noise, as channels see it that are sampled one after the other; and what each should see."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(sosfilt(butter(4, 6000, fs=30000.0, output="sos"), rng.normal(size=60_000)))
    shifts = np.arange(n_channels) / n_channels
    phases = np.exp(2j * np.pi * np.fft.rfftfreq(60_000)[:, None] * shifts)
    traces = 100 * np.fft.irfft(spectrum[:, None] * phases, axis=0)
    recording = NumpyRecording([traces.astype("int16")], 30000.0)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(n_channels)]))
    recording.set_property("inter_sample_shift", shifts)
    return recording


def test_channels_are_aligned_by_their_shifts():
    recording = shifted_recording()
    before, after = (r.get_traces()[5000:55_000].astype("float64") for r in (recording, align(recording)))
    apart = [np.std(t - t[:, :1]) / np.std(t) for t in (before, after)]
    assert apart[0] > 0.15 and apart[1] < 0.02


def align(recording):
    return preprocessing.align_sampling(recording)


def test_who_aligned_them_himself_is_not_aligned_again(tmp_path, caplog):
    recording = shifted_recording()
    plain = recording.remove_channels([])
    plain.delete_property("inter_sample_shift")
    assert align(plain) is plain
    saved = recording.save(folder=tmp_path / "raw", verbose=False)
    by_user = phase_shift(saved)
    for done in (by_user, by_user.save(folder=tmp_path / "shifted", verbose=False), bandpass_filter(saved)):
        with caplog.at_level(logging.INFO, logger="huidurep_sorter"):
            assert align(done) is done
        assert "not aligned" in caplog.text
        caplog.clear()
    assert align(saved) is not saved
