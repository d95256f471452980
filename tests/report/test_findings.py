"""What is kept for the report, of units of known spikes."""

from dataclasses import fields, replace

import numpy as np
import pytest

from huidurep_sorter.report import findings
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.units.discarded import list_discarded
from huidurep_sorter.units.properties import measure
from tests.known import on_four_channels, units


@pytest.fixture(scope="module")
def collected():
    """Two units, their measures, and the findings; the second fires on channel 2."""
    rng, times = np.random.default_rng(0), np.arange(300) * 300 + 200
    labels, array = np.arange(300) % 2, rng.normal(size=(91_000, 4))
    for channel in (0, 2):
        array[times[labels == channel // 2], channel] -= 20.0
    traces, found = on_four_channels(array), units(times[labels == 0], times[labels == 1])
    clusters = replace(
        Spikes.at(times, 2 * labels),
        features=rng.normal(size=(300, 5)).astype("float32"),
        positions_um=rng.normal(size=(300, 2)).astype("float32"),
    )
    measured = measure(traces, found, clusters)
    discarded = list_discarded(found, ["too few spikes", None], np.array([4.0, np.nan]))
    return measured, clusters, findings.collect(measured, clusters, discarded)


def test_units_are_on_the_channels_nearest_to_their_own(collected):
    measured, _, kept = collected
    assert kept.near[:, 0].tolist() == [0, 2]
    assert [sorted(near) for near in kept.near] == [[0, 1, 2, 3]] * 2
    np.testing.assert_array_equal(kept.waveforms[1, :, 0], measured.waveforms[1, :, 2])
    assert kept.waveforms[1, :, 0].argmin() == kept.n_before[0]


def test_all_is_kept_where_there_is_little(collected):
    measured, clusters, kept = collected
    np.testing.assert_array_equal(kept.peak_sample, clusters.sample_index)
    np.testing.assert_array_equal(kept.embedded, clusters.features)
    np.testing.assert_array_equal(kept.spike_sample, measured.units.sample_index)
    np.testing.assert_array_equal(kept.spike_amplitude, measured.fits.amplitude)
    np.testing.assert_array_equal(kept.peak_owner, measured.units.label)


def test_they_are_the_same_after_saving(collected, tmp_path):
    kept = collected[2]
    kept.save(tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["findings.npz"]
    again = findings.Findings.load(tmp_path / "new")
    for f in fields(kept):
        np.testing.assert_array_equal(getattr(again, f.name), getattr(kept, f.name))
    assert again.discarded.to_numpy().tolist() == [["too few spikes", 150, 4.0, 0]]


def test_at_most_so_many_are_drawn_of_each():
    labels = np.repeat([-1, 0, 1, 5], [50, 40, 3, 30])
    drawn = findings.draw(np.random.default_rng(0), labels, 10, 20)
    assert np.unique(labels[drawn], return_counts=True)[1].tolist() == [20, 10, 3, 10]
    assert (np.diff(drawn) > 0).all()


def test_on_another_shank_nothing_is_near():
    traces = on_four_channels(np.zeros((100, 4)))
    traces.recording.set_channel_groups([0, 0, 1, 1])
    assert [set(near) for near in findings.nearest_channels(traces, np.array([0, 3]))] == [{0, 1}, {2, 3}]
