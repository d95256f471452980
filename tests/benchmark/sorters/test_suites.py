import numpy as np
import pytest
from spikeinterface.core import load

from huidurep_sorter.benchmark.sorters import close_units, probes, suites


@pytest.fixture
def short(monkeypatch):
    size = dict(duration_s=2.0, n_channels=16, n_units=4, tetrode_units=2, dense_units=6)
    monkeypatch.setitem(suites.SUITES, "quick", size)


def test_every_recording_can_be_made_and_units_are_where_the_channels_say(short, tmp_path):
    folders = suites.make_suite(tmp_path, "quick", seeds=[3])
    assert [folder.name for folder in folders] == [f"quick_{name}_seed3" for name in suites.RECORDINGS]
    for folder in folders:
        recording, sorting = load(folder / "recording"), load(folder / "sorting")
        assert recording.get_total_duration() == 2.0 and len(sorting.unit_ids) >= 2
    recording, sorting = load(folders[2] / "recording"), load(folders[2] / "sorting")
    away = distances_to_largest_channel(recording, sorting)
    assert away[0] < 30  # of the largest unit


def distances_to_largest_channel(recording, sorting):
    traces, out = recording.get_traces(), []
    for unit_id, location in zip(sorting.unit_ids, sorting.get_property("gt_unit_locations"), strict=True):
        train = sorting.get_unit_spike_train(unit_id, segment_index=0)
        train = train[(train > 10) & (train < len(traces) - 10)]
        template = np.mean([traces[t - 5 : t + 6] for t in train], axis=0)
        channel = np.ptp(template, axis=0).argmax()
        away = np.linalg.norm(recording.get_channel_locations()[channel] - location[:2])
        out.append((-np.ptp(template), away))
    return [away for _, away in sorted(out)]


def test_a_seed_is_a_recording_and_what_exists_is_kept(short, tmp_path):
    (one,) = suites.make_suite(tmp_path / "a", seeds=[0], names=["tetrode"])
    (same,) = suites.make_suite(tmp_path / "b", seeds=[0], names=["tetrode"])
    (other,) = suites.make_suite(tmp_path / "b", seeds=[1], names=["tetrode"])
    first, second, third = (load(folder / "recording").get_traces() for folder in (one, same, other))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)
    (one / "mark").touch()
    suites.make_suite(tmp_path / "a", seeds=[0], names=["tetrode"])
    assert (one / "mark").exists()


def test_unknown_names_are_told(tmp_path):
    with pytest.raises(ValueError, match="no suite 'slow'"):
        suites.make_suite(tmp_path, "slow")
    with pytest.raises(ValueError, match="no recording 'octrode'"):
        suites.make_suite(tmp_path, names=["octrode"])


def test_close_units_fire_bursts_of_changing_spikes(monkeypatch, tmp_path):
    size = dict(duration_s=10.0, n_channels=16, n_units=6, tetrode_units=4, eight_sites_units=5)
    monkeypatch.setitem(suites.SUITES, "close", size)
    folders = suites.make_suite(tmp_path, "close", seeds=[1])
    assert [folder.name for folder in folders] == [f"close_{name}_seed1" for name in suites.CLOSE]
    recording, sorting = load(folders[0] / "recording"), load(folders[0] / "sorting")
    assert recording.get_num_channels() == 4 and len(sorting.unit_ids) == 4
    where = sorting.get_property("gt_unit_locations") if "gt_unit_locations" in sorting.get_property_keys() else None
    gaps_ms = [np.diff(sorting.get_unit_spike_train(unit)) / 30 for unit in sorting.unit_ids]
    assert min(gap.min() for gap in gaps_ms) >= 2.4 and any((gap < 20).mean() > 0.15 for gap in gaps_ms)
    assert where is None or where.shape == (4, 3)


def test_a_changing_spike_ends_smaller_and_slower():
    rng = np.random.default_rng(0)
    where = np.array([[0.0, 0.0, 15.0]])
    shapes = {name: np.array([np.mean(limits)]) for name, limits in close_units.default_unit_params_range.items()}
    forms = close_units.make_forms(probes.tetrode_probe(), where, shapes, 0, rng)
    assert forms.shape[0] == 1 and forms.shape[3] == close_units.N_FORMS
    depth = -forms[0].min(axis=(0, 1))
    assert (np.diff(depth) < 0).all()
