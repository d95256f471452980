"""Peaks located on a grid: as SpikeInterface locates them."""

from dataclasses import replace

import numpy as np
import pytest
from probeinterface import generate_multi_columns_probe
from spikeinterface.core import NumpyRecording
from spikeinterface.core.node_pipeline import PeakRetriever, base_peak_dtype, run_node_pipeline
from spikeinterface.sortingcomponents.peak_localization import localize_peaks

from huidurep_sorter.traces import localization

QUIET = dict(n_jobs=1, progress_bar=False)


def recording_with_peaks(n_channels=32, n_peaks=60):
    rng = np.random.default_rng(0)
    probe = generate_multi_columns_probe(2, n_channels // 2, xpitch=32, ypitch=15)
    probe.set_device_channel_indices(rng.permutation(n_channels))  # channels in no order along the probe
    traces = rng.normal(size=(30_000, n_channels)).astype("float32")
    recording = NumpyRecording([traces], 30_000.0)
    recording.set_probe(probe)
    contacts, course = recording.get_channel_locations(), np.exp(-((np.arange(-15, 15) / 5) ** 2))
    peaks = np.zeros(n_peaks, dtype=base_peak_dtype)
    peaks["sample_index"] = np.linspace(100, 29_900, n_peaks).astype("int64")
    for peak in peaks:
        at = rng.uniform(contacts.min(axis=0), contacts.max(axis=0))
        size = 30 / (1 + (np.linalg.norm(contacts - at, axis=1) / 25) ** 2)
        traces[peak["sample_index"] - 15 : peak["sample_index"] + 15] -= np.outer(course, size).astype("float32")
        peak["channel_index"] = size.argmax()
    return recording, peaks, -course


def locate(recording, peaks, prototype):
    source = PeakRetriever(recording, peaks)
    sources = localization.make_sources(recording.get_channel_locations(), np.unique(peaks["channel_index"]))
    node = localization.LocateOnGrid(recording, [source], sources, prototype, 15)
    return run_node_pipeline(recording, [source, node], QUIET)


@pytest.mark.parametrize(("block_channels", "within_um"), [(64, 0.01), (8, 5.0)])
def test_peaks_lie_where_spikeinterface_finds_them(monkeypatch, block_channels, within_um):
    monkeypatch.setattr(localization, "RULES", replace(localization.RULES, block_channels=block_channels))
    recording, peaks, prototype = recording_with_peaks()
    options = dict(method="grid_convolution", method_kwargs=dict(prototype=prototype), job_kwargs=QUIET)
    theirs, ours = localize_peaks(recording, peaks, **options), locate(recording, peaks, prototype)
    for axis in "xy":
        assert ours[axis] == pytest.approx(theirs[axis], abs=within_um)
    assert np.ptp(ours["y"]) > 100


def test_where_nothing_is_like_a_spike_there_is_no_place():
    products = np.array([[[-1.0, -2.0], [0.0, 3.0]]], dtype="float32")
    found = localization.average_best(products, 0.5, np.array([[1.0, 10.0], [2.0, 20.0]], dtype="float32"))
    assert found == pytest.approx(np.array([[0.0, 0.0], [2.0, 20.0]]))
