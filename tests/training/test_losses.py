"""Each loss against a slow reference."""

import numpy as np
import pytest
import torch

from huidurep_sorter.training.losses import (
    alignment,
    distillation,
    effective_rank,
    info_nce,
    own_centroid,
    same_neuron,
    uniformity,
)


@pytest.fixture
def features():
    return torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def unit(x):
    x = x.numpy()
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_info_nce(features):
    keys = features.flip(1) + 0.1
    q, k = unit(features), unit(keys)
    expected = 0.0
    for i in range(12):
        scores = np.array([np.exp(q[i] @ k[j] / 0.2) for j in range(12)])
        expected -= np.log(scores[i] / scores.sum()) / 12 * 2 * 0.2
    assert info_nce(features, keys, 0.2).item() == pytest.approx(expected, abs=1e-6)


def test_same_neuron(features):
    label = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4, 5])
    z, losses = unit(features), []
    for i in range(12):
        others = [j for j in range(12) if j != i]
        total = sum(np.exp(z[i] @ z[j] / 0.1) for j in others)
        same = [j for j in others if label[j] == label[i]]
        if same:
            losses.append(-np.mean([np.log(np.exp(z[i] @ z[j] / 0.1) / total) for j in same]))
    assert same_neuron(features, torch.from_numpy(label), 0.1).item() == pytest.approx(np.mean(losses), abs=1e-6)


def test_own_centroid(features):
    label = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4, 5])
    z, losses = unit(features), []
    for i in range(12):
        scores = []
        for u in range(6):
            members = [z[j] for j in range(12) if label[j] == u and j != i]
            if members:
                centroid = np.mean(members, axis=0)
                scores.append((u, np.exp(z[i] @ centroid / np.linalg.norm(centroid) / 0.05)))
        if label[i] in dict(scores):
            losses.append(-np.log(dict(scores)[label[i]] / sum(score for _, score in scores)))
    assert len(losses) == 10
    assert own_centroid(features, torch.from_numpy(label), 0.05).item() == pytest.approx(np.mean(losses), abs=1e-6)


@pytest.mark.parametrize("loss", [same_neuron, own_centroid])
def test_without_a_pair_a_loss_of_labels_is_zero_and_differentiable(features, loss):
    features.requires_grad_(True)
    value = loss(features, torch.arange(12))
    value.backward()
    assert value.item() == 0.0 and torch.isfinite(features.grad).all()


def test_distillation(features):
    target = features.flip(0) + 0.3
    expected = np.mean([np.sum((a - b) ** 2) for a, b in zip(unit(features), unit(target), strict=True)])
    assert distillation(features, target).item() == pytest.approx(expected)
    assert distillation(features, 3 * features).item() == pytest.approx(0, abs=1e-12)


def test_alignment_and_uniformity(features):
    label = np.arange(12) // 3
    z = unit(features)
    pairs = [(i, j) for i in range(12) for j in range(i + 1, 12)]
    squared = {(i, j): np.sum((z[i] - z[j]) ** 2) for i, j in pairs}
    same = np.mean([squared[p] for p in pairs if label[p[0]] == label[p[1]]])
    assert alignment(features, torch.from_numpy(label)).item() == pytest.approx(same)
    spread = np.log(np.mean([np.exp(-2 * s) for s in squared.values()]))
    assert uniformity(features).item() == pytest.approx(spread)


def test_effective_rank_counts_directions():
    generator = torch.Generator().manual_seed(0)
    full = torch.randn(20000, 4, generator=generator)
    assert effective_rank(full).item() == pytest.approx(4.0, abs=0.01)
    assert effective_rank(full[:, :1].repeat(1, 4)).item() == pytest.approx(1.0, abs=0.01)
