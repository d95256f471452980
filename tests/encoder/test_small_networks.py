"""Small networks that weigh evidence."""

import numpy as np
import pytest

from huidurep_sorter.encoder.small_networks import FOLDER, SmallNetworks, load_networks, save_networks
from huidurep_sorter.templates.evidence import EVIDENCE
from huidurep_sorter.units.single_unit import EVIDENCE as OF_UNITS


def random_networks():
    """Two networks of two layers and two answers, on three numbers."""
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4))), (rng.normal(size=(2, 2, 4)), np.zeros((2, 2)))]
    return SmallNetworks(names=("a", "b", "c"), mean=np.ones(3), scale=np.full(3, 2.0), layers=layers)


def test_the_mean_logit_of_all_decides():
    networks, values = random_networks(), np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 1e9]])
    logits = []
    for k in range(2):
        (first, bias), (last, _) = networks.layers
        x = np.clip((values - 1.0) / 2.0, -5, 5)
        logits.append(np.maximum(x @ first[k].T + bias[k], 0) @ last[k].T)
    np.testing.assert_allclose(networks.probability(values), 1 / (1 + np.exp(-np.mean(logits, axis=0))))


def test_networks_survive_the_disk(tmp_path):
    networks = random_networks()
    save_networks(networks, tmp_path / "my_question_mine.safetensors", training="{}")
    assert [path.name for path in tmp_path.iterdir()] == ["my_question_mine.safetensors"]
    values = np.random.default_rng(1).normal(size=(5, 3))
    again = load_networks("my_question", "mine", folder=tmp_path)
    np.testing.assert_allclose(again.probability(values), networks.probability(values), atol=1e-5)
    assert again.names == networks.names


@pytest.mark.parametrize("features", ["huidurep", "svd", "my_own"])
@pytest.mark.parametrize(("question", "names"), [("same_neuron", EVIDENCE), ("single_unit", OF_UNITS)])
def test_shipped_networks_know_the_evidence(question, names, features):
    assert load_networks(question, features).names == names
    assert (FOLDER / "decisions.md").exists()
