from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from huidurep_sorter.traces.snippets import Window
from huidurep_sorter.training.footprints import mix, project, read_footprints, slow, turn
from huidurep_sorter.training.simulation import N_FORMS, SimulationConfig, draw_neighbours, make_noise, simulate
from huidurep_sorter.training.spike_sets import MARGIN, SpikeSet, spikes_of_recording, spikes_of_simulation

SMALL = SimulationConfig(n_recordings=1, duration_s=6.0, n_channels=16, drift_probability=1.0)
WINDOW = Window(n_samples=121, n_before=40, sampling_frequency=30000.0)


@pytest.fixture(scope="module")
def simulated(footprint_file):
    return simulate(read_footprints(footprint_file), SMALL, seed=3)


def test_a_projection_on_the_sites_gives_the_footprint_back(footprint_file):
    footprint = read_footprints(footprint_file)[0]
    found = project(footprint, np.array([[0.0, 0.0], [12.0, 0.0], [500.0, 0.0]]), 30000.0)[..., 0]
    sites = [np.flatnonzero((footprint.sites_um == p).all(axis=1))[0] for p in ([0, 0], [12, 0])]
    start = 60 - footprint.n_before  # templates begin 2 ms before the trough
    np.testing.assert_allclose(found[:2, start + 20 : start + 90], footprint.waveform_uv[20:90, sites].T, atol=0.01)
    assert np.abs(found[2]).max() < 1e-3


def test_delays_are_quarters_of_a_sample(footprint_file):
    found = project(read_footprints(footprint_file)[1], np.zeros((1, 2)), 30000.0)[0]
    slope = np.gradient(found[:, 0])
    np.testing.assert_allclose(found[:, 2], found[:, 0] - 0.5 * slope, atol=1.0)


def test_a_mixture_of_a_footprint_with_itself_is_that_footprint(footprint_file):
    footprint = read_footprints(footprint_file)[0]
    points = footprint.sites_um
    same = project(mix(footprint, footprint, 0.4), points, 30000.0)[..., 0]
    original = project(footprint, points, 30000.0)[..., 0]
    np.testing.assert_allclose(same, 100 * original / -original.min(), atol=0.5)


def test_a_mixture_lies_between_its_footprints(footprint_file):
    first, second = read_footprints(footprint_file)[:2]
    half = mix(first, second, 0.5)
    ends = [mix(first, second, weight) for weight in (1.0, 0.0)]
    np.testing.assert_allclose(half.waveform_uv, (ends[0].waveform_uv + ends[1].waveform_uv) / 2, atol=1e-3)


def test_a_turned_footprint_has_its_sites_elsewhere_at_the_same_distance(footprint_file):
    footprint = read_footprints(footprint_file)[0]
    turned = turn(footprint, np.pi / 2)
    np.testing.assert_allclose(turned.sites_um, footprint.sites_um @ [[0, -1], [1, 0]], atol=1e-9)


def test_a_slowed_footprint_is_the_same_up_to_its_trough(footprint_file):
    footprint = read_footprints(footprint_file)[0]
    slowed, n = slow(footprint, 2.0), footprint.n_before
    np.testing.assert_allclose(slowed.waveform_uv[: n + 1], footprint.waveform_uv[: n + 1], atol=1e-4)
    np.testing.assert_allclose(slowed.waveform_uv[n + 2 : n + 20 : 2], footprint.waveform_uv[n + 1 : n + 10], atol=1e-3)


def test_footprints_that_vary_make_other_templates(simulated, footprint_file):
    varied = replace(SMALL, mix_probability=1.0, turn_rad=0.3, slowing=0.3)
    other = simulate(read_footprints(footprint_file), varied, seed=3)
    assert not np.allclose(other.templates[0], simulated.templates[0])


def test_a_file_that_holds_no_footprints_is_named(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="no footprints"):
        read_footprints(tmp_path / "other.npz")


def test_noise_has_the_wanted_size_in_the_spike_band():
    contacts = np.column_stack([np.zeros(3), [0.0, 20.0, 400.0]])
    noise = make_noise(60000, contacts, 10.0, 30000.0, np.random.default_rng(0))
    noise = sosfiltfilt(butter(4, [300, 6000], "bandpass", fs=30000, output="sos"), noise, axis=0)
    np.testing.assert_allclose(noise.std(axis=0), 10.0, rtol=0.15)
    correlation = np.corrcoef(noise.T)
    assert correlation[0, 1] > 0.05 > abs(correlation[0, 2])


def test_same_seed_same_recording(simulated, footprint_file):
    again = simulate(read_footprints(footprint_file), SMALL, seed=3)
    np.testing.assert_array_equal(again.recording.get_traces(), simulated.recording.get_traces())
    np.testing.assert_array_equal(again.spikes, simulated.spikes)
    other = simulate(read_footprints(footprint_file), SMALL, seed=4)
    assert len(other.spikes) != len(simulated.spikes) or (other.spikes != simulated.spikes).any()


def test_clean_snippets_are_what_the_noise_hides(simulated):
    spikes = spikes_of_simulation(simulated, WINDOW, 11, seed=0)
    assert spikes.snippets.shape == (len(spikes.unit), 121 + 2 * MARGIN, 11)
    noisy, clean = spikes.snippets.astype("float32"), spikes.clean.astype("float32")
    large = np.flatnonzero(-clean[:, :, 0].min(axis=1) > 6)
    assert large.size > 20
    trough = clean[large, :, 0].argmin(axis=1) - (40 + MARGIN)
    assert np.abs(trough).mean() < 1.5
    residual = (noisy - clean)[large, 30:60, 0]
    assert residual.std() < 0.6 * noisy[large, 30:60, 0].std()


def test_a_set_of_spikes_survives_the_disk(simulated, tmp_path):
    spikes = spikes_of_simulation(simulated, WINDOW, 11, seed=0)
    spikes.save(tmp_path / "spikes")
    again = SpikeSet.load(tmp_path / "spikes")
    np.testing.assert_array_equal(again.snippets, spikes.snippets)
    assert [p.name for p in tmp_path.iterdir()] == ["spikes"]


def test_a_plain_recording_gives_its_detected_spikes(tetrode):
    recording, truth = tetrode
    detected = spikes_of_recording(recording, WINDOW, 11, seed=0)
    assert (detected.unit == -1).all() and len(detected.clean) == 0 and len(detected.unit) > 50
    known = spikes_of_recording(recording, WINDOW, 11, seed=0, sorting=truth)
    assert len(known.unit) == len(truth.to_spike_vector()) and known.unit.max() == len(truth.unit_ids) - 1


def test_the_detected_spikes_are_the_same_each_time_and_nothing_is_said(tetrode, capfd):
    first, again = (spikes_of_recording(tetrode[0], WINDOW, 11, seed=0) for _ in range(2))
    np.testing.assert_array_equal(first.snippets, again.snippets)
    np.testing.assert_array_equal(first.noise, again.noise)
    assert capfd.readouterr().err == ""


def test_bursts_are_smaller_and_slower_one_by_one(footprint_file):
    bursting = replace(SMALL, bursts=1.0, drift_probability=0.0, duration_s=20.0)
    found = simulate(read_footprints(footprint_file), bursting, seed=3)
    n_steps = found.templates.shape[1] // N_FORMS
    form = found.spikes["step"] // n_steps
    assert set(form) == set(range(N_FORMS))
    for unit in range(len(found.templates)):
        own = found.spikes["unit_index"] == unit
        gap_s = np.diff(found.spikes["sample_index"][own], prepend=-(10**6)) / 30000
        assert gap_s.min() >= 0.0024
        assert form[own][gap_s > 0.3].max(initial=0) == 0  # a lone spike is as it was
        assert form[own][gap_s < 0.02].mean() > 0.5
    sizes = -found.templates[:, ::n_steps].min(axis=(2, 3))
    assert (sizes[:, -1] < sizes[:, 0]).mean() > 0.7


def test_neighbours_are_near_and_alike(footprint_file):
    config = SimulationConfig(neighbours=1.0)
    rng = np.random.default_rng(0)
    soma = rng.uniform(0, 1000, (20, 2))
    like = draw_neighbours(soma, config, rng)
    away = np.linalg.norm(soma[1:] - soma[like[1:]], axis=1)
    assert like[0] == -1 and (like[1:] < np.arange(1, 20)).all()
    assert (away >= 5).all() and (away <= 20).all()


def test_small_probes_positive_spikes_and_artefacts(footprint_file):
    footprints = read_footprints(footprint_file)
    plain = replace(SMALL, few_channels=1.0, drift_probability=0.0, background_per_unit=0.0)
    sizes = {simulate(footprints, plain, seed).recording.get_num_channels() for seed in range(8)}
    assert sizes <= {1, 2, 4, 8, 16} and len(sizes) > 2
    turned = simulate(footprints, replace(plain, positive=1.0), 0).templates
    assert (turned.max(axis=(1, 2, 3)) > -turned.min(axis=(1, 2, 3))).all()
    quiet, loud = (
        simulate(footprints, replace(plain, artefacts_per_minute=rate), 0).recording.get_traces()
        for rate in (0.0, 60.0)
    )
    added = np.abs(loud - quiet).max(axis=1)
    assert added.max() > 2 * plain.noise_uv and 0.02 < (added > 0).mean() < 0.5
