import numpy as np

from huidurep_sorter.training.spike_sets import MARGIN, SpikeSet
from huidurep_sorter.training.views import BatchConfig, Scenes, ViewConfig, draw_batch, make_view

NOTHING = ViewConfig(
    max_shift=0,
    amplitude_spread=0.0,
    noise_probability=0.0,
    collision_probability=0.0,
    channel_drop_probability=0.0,
)
BATCH = BatchConfig(scenes=3, units_per_scene=4, spikes_per_unit=5)


def make_spikes(unit, n=200, seed=0):
    rng = np.random.default_rng(seed)
    unit = np.full(n, -1) if unit is None else np.arange(n) % unit
    return SpikeSet(
        snippets=rng.normal(size=(n, 121 + 2 * MARGIN, 11)).astype("float16"),
        clean=rng.normal(size=(n, 121 + 2 * MARGIN, 11)).astype("float16"),
        offsets_um=rng.normal(size=(n, 11, 2)).astype("float32"),
        unit=unit,
        location_um=np.column_stack([np.zeros(n), 30.0 * unit]).astype("float32"),
        noise=rng.normal(size=(20, 121 + 2 * MARGIN, 11)).astype("float16"),
    )


def test_a_scene_holds_neighbours_with_as_many_spikes_each():
    scenes = Scenes(make_spikes(unit=10), BATCH)
    indices, label = scenes.draw(np.random.default_rng(0))
    unit = scenes.unit[indices]
    assert len(np.unique(unit)) <= 4 and np.ptp(30.0 * unit) <= 2 * 60.0
    for u in np.unique(unit):
        assert (unit == u).sum() == 5 and len(np.unique(label[unit == u])) == 1
    assert len(np.unique(indices)) == len(indices)


def test_unlabelled_spikes_are_each_their_own_class():
    _, label = Scenes(make_spikes(unit=None), BATCH).draw(np.random.default_rng(0))
    assert len(np.unique(label)) == len(label)


def test_labels_of_different_scenes_never_meet():
    batch = draw_batch([Scenes(make_spikes(unit=10), BATCH)], BATCH, np.random.default_rng(0))
    assert (np.bincount(batch.label) == 5).all()


def test_a_view_that_changes_nothing_is_the_middle_of_the_snippet():
    batch = draw_batch([Scenes(make_spikes(unit=10), BATCH)], BATCH, np.random.default_rng(0))
    view, target, offsets = make_view(batch, NOTHING, np.random.default_rng(0))
    np.testing.assert_array_equal(view, batch.snippets[:, MARGIN:-MARGIN])
    np.testing.assert_array_equal(target, batch.clean[:, MARGIN:-MARGIN])
    np.testing.assert_array_equal(offsets, batch.offsets_um)


def test_views_are_seeded_and_differ():
    batch = draw_batch([Scenes(make_spikes(unit=10), BATCH)], BATCH, np.random.default_rng(0))
    one, two, other = (make_view(batch, ViewConfig(), np.random.default_rng(s))[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_a_dropped_channel_is_dropped_everywhere():
    batch = draw_batch([Scenes(make_spikes(unit=10), BATCH)], BATCH, np.random.default_rng(0))
    view, target, offsets = make_view(batch, ViewConfig(channel_drop_probability=1.0), np.random.default_rng(0))
    absent = np.isnan(offsets[:, :, 0])
    assert absent.any(axis=1).all() and not absent[:, :5].any()
    assert (view.transpose(0, 2, 1)[absent] == 0).all() and (target.transpose(0, 2, 1)[absent] == 0).all()


def test_a_collision_adds_a_whole_spike_later_or_earlier():
    config = ViewConfig(**{**NOTHING.__dict__, "collision_probability": 1.0})
    batch = draw_batch([Scenes(make_spikes(unit=10), BATCH)], BATCH, np.random.default_rng(0))
    added = make_view(batch, config, np.random.default_rng(0))[0] - batch.snippets[:, MARGIN:-MARGIN]
    n_wide = batch.other.shape[1]
    for i in range(10):
        lags = [
            lag
            for lag in range(-n_wide // 2, n_wide // 2 + 1)
            if np.allclose(added[i], _shifted(batch.other[i], lag)[MARGIN:-MARGIN], atol=1e-3)
        ]
        assert len(lags) == 1 and abs(lags[0]) >= 5


def _shifted(x, lag):
    out = np.zeros_like(x)
    a, b = max(lag, 0), len(x) + min(lag, 0)
    out[a:b] = x[a - lag : b - lag]
    return out
