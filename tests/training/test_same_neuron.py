"""The network that says whether two groups are one neuron: its pairs and its training."""

from dataclasses import replace

import numpy as np
import pytest

from huidurep_sorter.encoder.same_neuron import FOLDER, load_same_neuron, save_same_neuron
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.evidence import EVIDENCE
from huidurep_sorter.training.config import build
from huidurep_sorter.training.footprints import read_footprints
from huidurep_sorter.training.same_neuron import (
    STAGES,
    Pairs,
    SameNeuronConfig,
    collect_pairs,
    draw_rare_simulation,
    draw_simulation,
    find_owners,
    pretrain_same_neuron,
    score,
    train_same_neuron,
)
from huidurep_sorter.training.simulation import SimulationConfig, simulate

SMALL = SameNeuronConfig(n_recordings=1, n_rare=0, duration_s=(20.0,), n_channels=(16,), n_epochs=3, few_channels=0.0)


def random_pairs(n=600, n_kinds=1, seed=0):
    """Pairs of which the first kind of evidence says nearly all."""
    rng = np.random.default_rng(seed)
    evidence = rng.normal(size=(n, n_kinds, len(EVIDENCE)))
    return Pairs(
        evidence=evidence,
        is_one=evidence[:, 0, 0] + 0.3 * rng.normal(size=n) < 0,
        purity=np.ones(n),
        stage=np.zeros(n, dtype="int64"),
        recording=np.zeros(n, dtype="int64"),
    )


def test_owners_are_the_neurons_of_most_spikes():
    known = np.zeros(6, dtype=[("sample_index", "int64"), ("unit_index", "int64")])
    known["sample_index"], known["unit_index"] = [100, 200, 300, 1000, 2000, 3000], [0, 0, 0, 1, 1, 1]
    spikes = Spikes.at(np.array([105, 205, 1001, 2001, 2990, 5000]), 0, np.array([0, 0, 0, 1, 1, 1]))
    owner, purity = find_owners(spikes, known, 30000.0)
    assert owner.tolist() == [0, 1]
    np.testing.assert_allclose(purity, [2 / 3, 2 / 3])


def test_a_simulated_recording_gives_pairs_of_every_stage(footprint_file):
    simulation = SimulationConfig(duration_s=20.0, n_channels=16, drift_probability=0.0, snr_median=(8.0, 12.0))
    simulated = simulate(read_footprints(footprint_file), simulation, 1)
    pairs = collect_pairs(simulated, SMALL, 7, np.random.default_rng(0))
    assert pairs.evidence.shape == (len(pairs.is_one), 2, len(EVIDENCE)) and np.isfinite(pairs.evidence).all()
    assert (pairs.stage == STAGES.index("clusters")).sum() > 10 and pairs.recording.tolist() == [7] * len(pairs.stage)
    alike = pairs.evidence[:, 0, EVIDENCE.index("template_difference")]
    assert np.median(alike[pairs.is_one]) < np.median(alike[~pairs.is_one])


def test_training_finds_what_decides_and_is_calibrated():
    network = train_same_neuron(random_pairs(6000), replace(SMALL, n_epochs=5, batch_size=32))
    other = random_pairs(3000, seed=1)
    error, wrong, missed = score(network.probability(other.evidence[:, 0]), other.is_one)
    assert wrong + missed < 0.2 and error < 0.05


def test_the_same_seed_gives_the_same_network():
    first, again = (train_same_neuron(random_pairs(), SMALL) for _ in range(2))
    other = train_same_neuron(random_pairs(), replace(SMALL, seed=1))
    assert all(np.array_equal(a, b) for a, b in zip(first.layers[0], again.layers[0], strict=True))
    assert not np.array_equal(first.layers[0][0], other.layers[0][0])


def test_scores_count_what_they_say():
    probability, is_one = np.array([0.05, 0.05, 0.95, 0.95]), np.array([False, True, True, False])
    error, wrong, missed = score(probability, is_one)
    assert (wrong, missed) == (0.25, 0.25) and error == pytest.approx(0.45)


def test_a_network_survives_the_disk(tmp_path):
    network = train_same_neuron(random_pairs(), SMALL)
    save_same_neuron(network, tmp_path / "mine.safetensors", training="{}")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.safetensors"]
    values = random_pairs().evidence[:, 0]
    again = load_same_neuron("mine", folder=tmp_path)
    np.testing.assert_allclose(again.probability(values), network.probability(values), atol=1e-5)
    assert again.names == EVIDENCE


@pytest.mark.parametrize("features", ["huidurep", "svd", "my_own"])
def test_shipped_networks_know_the_evidence(features):
    assert load_same_neuron(features).names == EVIDENCE
    assert (FOLDER / "same_neuron.md").exists()


def test_a_run_is_resumed_and_not_mixed_with_another(footprint_file, tmp_path):
    config = replace(SMALL, footprints={str(footprint_file): 1})
    first = [path.read_bytes() for path in pretrain_same_neuron(config, tmp_path / "run")]
    made = (tmp_path / "run" / "pairs" / "pairs-0-0.npz").stat().st_mtime_ns
    again = [path.read_bytes() for path in pretrain_same_neuron(config, tmp_path / "run")]
    assert first == again and len(first) == 2
    assert (tmp_path / "run" / "pairs" / "pairs-0-0.npz").stat().st_mtime_ns == made
    with pytest.raises(ValueError, match="another configuration"):
        pretrain_same_neuron(replace(config, seed=3), tmp_path / "run")
    with pytest.raises(ValueError, match="nothing to simulate"):
        pretrain_same_neuron(SMALL, tmp_path / "other")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (dict(n_recordings=0), "n_recordings must be at least 1"),
        (dict(footprints=["x.npz"]), "footprints must name files"),
        (dict(footprints={"x.npz": 0}), "footprints must name files"),
        (dict(duration_s=40), "duration_s must be a list"),
        (dict(duration_s=[-3]), "duration_s must be numbers"),
        (dict(features=["foo"]), "features must be some of"),
        (dict(features="svd"), "features must be a list"),
        (dict(seed=-1), "seed must be at least 0"),
        (dict(no_such=1), "isn't known"),
    ],
)
def test_bad_configurations_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        build(SameNeuronConfig, values, "mine.yaml")


def test_rare_units_fire_rarely():
    rare = draw_rare_simulation(SMALL, np.random.default_rng(0))
    assert rare.min_rate_hz < 1 and rare.rate_hz[1] < 3 < draw_simulation(SMALL, np.random.default_rng(0)).rate_hz[1]
