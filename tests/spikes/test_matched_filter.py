"""The compiled matched filter beside SpikeInterface's."""

from dataclasses import replace

import numpy as np
import pytest
from probeinterface import generate_multi_columns_probe
from spikeinterface.core import NumpyRecording
from spikeinterface.core.node_pipeline import run_node_pipeline
from spikeinterface.sortingcomponents.peak_detection.locally_exclusive import LocallyExclusivePeakDetector
from spikeinterface.sortingcomponents.peak_detection.matched_filtering import MatchedFilteringPeakDetector

from huidurep_sorter.spikes import detection
from huidurep_sorter.spikes.detection import make_matched_filter
from huidurep_sorter.spikes.matched_filter import DetectorsTogether, ThresholdDetector, are_largest, convolve

JOBS = dict(n_jobs=1, progress_bar=False, chunk_duration="0.4s")
FS = 20_000.0


@pytest.fixture(scope="module")
def recording():
    """Noise and spikes of both signs, of several sizes and widths, on 12 contacts, in two segments."""
    rng = np.random.default_rng(0)
    probe = generate_multi_columns_probe(num_columns=2, num_contact_per_column=6, xpitch=20, ypitch=25)
    probe.set_device_channel_indices(np.arange(12))
    traces = rng.normal(size=(60_000, 12)).astype("float32")
    for start in rng.integers(0, 59_900, 900):
        shape = -np.exp(-(((np.arange(60) - 20) / rng.uniform(2, 8)) ** 2)) * rng.uniform(4, 30) * rng.choice([-1, 1])
        away = np.linalg.norm(probe.contact_positions - probe.contact_positions[rng.integers(12)], axis=1)
        traces[start : start + 60] += shape[:, None] * np.exp(-away / 30)
    recording = NumpyRecording([traces, traces[:5000]], FS)
    recording.set_probe(probe)
    return recording


def options(sign):
    prototype = -np.exp(-(((np.arange(61) - 20) / 4.0) ** 2)) + 0.3 * np.exp(-(((np.arange(61) - 35) / 8.0) ** 2))
    return dict(
        prototype=(-prototype if sign == "pos" else prototype).astype("float32"),
        ms_before=1.0,
        peak_sign=sign,
        detect_threshold=5,
        exclude_sweep_ms=1.5,
        radius_um=60.0,
        random_chunk_kwargs=dict(num_chunks_per_segment=2, seed=0),
    )


def ordered(peaks):
    return peaks[np.lexsort((peaks["channel_index"], peaks["sample_index"], peaks["segment_index"]))]


@pytest.mark.parametrize("sign", ["neg", "pos", "both"])
def test_peaks_are_those_of_spikeinterface(recording, sign, monkeypatch):
    """If noise is measured at every sample, as it does."""
    monkeypatch.setattr(detection, "RULES", replace(detection.RULES, step_of_noise=1))
    expected, found = (
        ordered(run_node_pipeline(recording, [detector(recording, **options(sign))], JOBS))
        for detector in (MatchedFilteringPeakDetector, make_matched_filter)
    )
    assert len(expected) > 300
    for name in ("sample_index", "channel_index", "segment_index", "z", "amplitude"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_every_fourth_sample_is_enough_for_the_noise(recording, monkeypatch):
    some = make_matched_filter(recording, **options("neg"))
    monkeypatch.setattr(detection, "RULES", replace(detection.RULES, step_of_noise=1))
    every = make_matched_filter(recording, **options("neg"))
    assert some.abs_thresholds == pytest.approx(every.abs_thresholds, rel=0.03)


@pytest.mark.parametrize("n_samples", [61, 3000, 5000])
def test_of_a_convolution_every_so_many_columns_are_computed(recording, n_samples):
    traces, setup = recording.get_traces(segment_index=1)[:n_samples], make_matched_filter(recording, **options("neg"))
    some, every = (convolve(traces, setup.prototype, setup.weights, step) for step in (4, 1))
    np.testing.assert_array_equal(some, every[:, ::4])


def by_threshold(recording, **options):
    """SpikeInterface's detector, and ours."""
    noise_levels = np.linspace(0.9, 1.1, 12).astype("float32")
    theirs = LocallyExclusivePeakDetector(recording, noise_levels=noise_levels, exclude_sweep_ms=0.8, **options)
    return theirs, ThresholdDetector(recording, theirs)


@pytest.mark.parametrize("sign", ["neg", "pos", "both"])
def test_peaks_over_a_threshold_are_those_of_spikeinterface(recording, sign):
    detectors = by_threshold(recording, peak_sign=sign, detect_threshold=4, radius_um=60.0)
    expected, found = (ordered(run_node_pipeline(recording, [detector], JOBS)) for detector in detectors)
    assert len(expected) > 300
    np.testing.assert_array_equal(found, expected)


def test_noise_is_that_of_spikeinterface(recording, monkeypatch):
    monkeypatch.setattr(detection, "RULES", replace(detection.RULES, step_of_noise=1))
    expected, found = (
        detector(recording, **options("both")) for detector in (MatchedFilteringPeakDetector, make_matched_filter)
    )
    np.testing.assert_allclose(found.abs_thresholds, expected.abs_thresholds, rtol=1e-4)


def test_a_row_without_noise_has_no_peak(recording):
    found = make_matched_filter(recording, **options("neg"))
    found.abs_thresholds[:, 3] = 0
    peaks = run_node_pipeline(recording, [found], JOBS)
    assert len(peaks) > 300 and 3 not in peaks["channel_index"]


def test_together_they_find_what_each_finds(recording):
    detectors = [
        make_matched_filter(recording, **options("neg")),
        by_threshold(recording)[1],
    ]
    alone = [run_node_pipeline(recording, [detector], JOBS) for detector in detectors]
    together = run_node_pipeline(recording, [DetectorsTogether(recording, detectors)], JOBS)
    for index, expected in enumerate(alone):
        found = together[together["detector"] == index]
        assert len(expected) > 100
        for name in ("sample_index", "channel_index", "segment_index", "amplitude"):
            np.testing.assert_array_equal(found[name], expected[name])


def test_of_equal_candidates_the_first_is_the_peak():
    samples, channels, z_index = np.array([10, 10, 12, 40]), np.array([0, 0, 1, 1]), np.array([1, 0, 0, 0])
    ratios, near = np.full(4, 2.0, dtype="float32"), np.ones((2, 2), dtype=bool)
    assert are_largest(samples, channels, z_index, ratios, 5, near).tolist() == [False, True, False, True]
    assert are_largest(samples, channels, z_index, ratios, 5, np.eye(2, dtype=bool)).tolist() == [
        False,
        True,
        True,
        True,
    ]
