"""The networks that decide what is one neuron: their training and its configuration."""

from dataclasses import replace

import numpy as np
import pytest

from huidurep_sorter.templates.evidence import EVIDENCE
from huidurep_sorter.training.config import build
from huidurep_sorter.training.decisions import (
    DecisionsConfig,
    draw_rare_simulation,
    draw_simulation,
    pretrain_decisions,
    score,
    train_networks,
)
from huidurep_sorter.training.examples import Examples

SMALL = DecisionsConfig(n_recordings=1, n_rare=0, duration_s=(20.0,), n_channels=(16,), n_epochs=3, few_channels=0.0)


def random_examples(n=600, n_kinds=1, seed=0):
    """Examples of which the first kind of evidence says nearly all."""
    rng = np.random.default_rng(seed)
    evidence = rng.normal(size=(n, n_kinds, len(EVIDENCE)))
    return Examples(
        evidence=evidence,
        answers=(evidence[:, 0, :1] + 0.3 * rng.normal(size=(n, 1))) < 0,
        purity=np.ones(n),
        stage=np.zeros(n, dtype="int64"),
        recording=np.zeros(n, dtype="int64"),
    )


def test_training_finds_what_decides_and_is_calibrated():
    network = train_networks("same_neuron", random_examples(6000), replace(SMALL, n_epochs=5, n_batches=200))
    other = random_examples(3000, seed=1)
    error, wrong, missed = score(network.probability(other.evidence[:, 0])[:, 0], other.answers[:, 0])
    assert wrong + missed < 0.2 and error < 0.05


def test_the_same_seed_gives_the_same_network():
    first, again = (train_networks("same_neuron", random_examples(), SMALL) for _ in range(2))
    other = train_networks("same_neuron", random_examples(), replace(SMALL, seed=1))
    assert all(np.array_equal(a, b) for a, b in zip(first.layers[0], again.layers[0], strict=True))
    assert not np.array_equal(first.layers[0][0], other.layers[0][0])


def test_scores_count_what_they_say():
    probability, is_one = np.array([0.05, 0.05, 0.95, 0.95]), np.array([False, True, True, False])
    error, wrong, missed = score(probability, is_one)
    assert (wrong, missed) == (0.25, 0.25) and error == pytest.approx(0.45)


def test_a_run_is_resumed_and_not_mixed_with_another(footprint_file, tmp_path):
    config = replace(SMALL, footprints={str(footprint_file): 1})
    first = [path.read_bytes() for path in pretrain_decisions(config, tmp_path / "run")]
    made = (tmp_path / "run" / "examples" / "0-0" / "single_unit.npz").stat().st_mtime_ns
    again = [path.read_bytes() for path in pretrain_decisions(config, tmp_path / "run")]
    assert first == again and len(first) == 4
    assert (tmp_path / "run" / "examples" / "0-0" / "single_unit.npz").stat().st_mtime_ns == made
    with pytest.raises(ValueError, match="another configuration"):
        pretrain_decisions(replace(config, seed=3), tmp_path / "run")
    with pytest.raises(ValueError, match="nothing to simulate"):
        pretrain_decisions(SMALL, tmp_path / "other")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (dict(n_recordings=0), "n_recordings must be at least 1"),
        (dict(footprints=["x.npz"]), "footprints must name files"),
        (dict(footprints={"x.npz": 0}), "footprints must name files"),
        (dict(duration_s=40), "duration_s must be a list"),
        (dict(duration_s=[-3]), "duration_s must be numbers"),
        (dict(features=["foo"]), "features must be some of"),
        (dict(features=["svd", "svd"]), "each once"),
        (dict(duration_s=[0]), "duration_s must be at least"),
        (dict(n_channels=[3.7]), "n_channels must be integers"),
        (dict(n_channels=[0]), "n_channels must be integers"),
        (dict(snr_median=[5]), "snr_median must be a range"),
        (dict(snr_median=[11, 5]), "snr_median must be a range"),
        (dict(rare_rate_hz=["a", "b"]), "rare_rate_hz must be a range"),
        (dict(few_channels=7), "few_channels must be from 0 to 1"),
        (dict(learning_rate=-1), "learning_rate must be above 0"),
        (dict(features="svd"), "features must be a list"),
        (dict(seed=-1), "seed must be at least 0"),
        (dict(no_such=1), "isn't known"),
    ],
)
def test_bad_configurations_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        build(DecisionsConfig, values, "mine.yaml")


def test_rare_units_fire_rarely():
    rare = draw_rare_simulation(SMALL, np.random.default_rng(0))
    assert rare.min_rate_hz < 1 and rare.rate_hz[1] < 3 < draw_simulation(SMALL, np.random.default_rng(0)).rate_hz[1]
