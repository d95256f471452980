"""What speaks for two groups being one neuron's, on groups of known origin."""

import numpy as np
import pytest

from huidurep_sorter.templates import evidence
from tests.known import DURATION, FS, poisson


def of_trains(first, second):
    presence = np.array(
        [np.histogram(train, np.arange(0, DURATION + 1, DURATION // 10))[0] for train in (first, second)]
    )
    return dict(zip(evidence.OF_TRAINS, evidence.compare_trains(first, second, presence, FS, DURATION), strict=True))


def of_views(x, y):
    return dict(zip(evidence.OF_VIEWS, evidence.compare_views(x, y), strict=True))


def test_templates_that_are_equal_differ_by_nothing():
    values = evidence.compare_templates(0.0, np.array([400.0, 400.0]), [100, 50], 24, 0.0, 2)
    found = dict(zip(evidence.OF_TEMPLATES, values, strict=True))
    assert found["cosine"] == pytest.approx(1) and found["log_norm_ratio"] == 0 and found["log_difference"] == 0
    assert found["log_norm"] == pytest.approx(np.log(20))
    assert found["log_noise"] == pytest.approx(np.log(24 * (1 / 100 + 1 / 50)))


def test_a_smaller_copy_has_the_same_shape():
    values = evidence.compare_templates(0.5, np.array([400.0, 100.0]), [100, 100], 24, -0.2, 2)
    found = dict(zip(evidence.OF_TEMPLATES, values, strict=True))
    assert found["cosine"] == pytest.approx(1) and found["log_norm_ratio"] == pytest.approx(np.log(0.5))
    assert found["lag_ms"] == 0.2


def test_parts_of_one_neuron_avoid_one_another_and_two_neurons_do_not():
    train = poisson(20, 0, 3.0)
    parts, two = of_trains(train[::2], train[1::2]), of_trains(poisson(10, 1, 3.0), poisson(10, 2, 3.0))
    assert parts["log_pair_ratio"] < -2 < -0.5 < two["log_pair_ratio"]
    assert parts["log_chance"] < -5 < two["log_chance"]
    assert parts["joint_violations"] < two["joint_violations"]
    assert two["presence_overlap"] == pytest.approx(1, abs=0.1)


def test_what_follows_in_bursts_is_seen():
    train = np.sort(poisson(5, 0, 30.0))
    found = of_trains(train, np.sort(train + int(0.005 * FS)))
    assert found["log_following"] > 1 > found["log_leading"]


def test_units_that_take_turns_share_no_stretch():
    train = poisson(10, 0, 3.0)
    half = train < DURATION // 2
    assert of_trains(train[half], train[~half])["presence_overlap"] == 0


def test_views_of_one_cloud_mix_and_of_two_do_not():
    rng = np.random.default_rng(0)
    one, same = rng.normal(size=(2, 32, 8))
    other = same + 6 * np.eye(8)[0]
    mixed, apart = of_views(one, same), of_views(one, other)
    assert abs(mixed["separation"]) < 1 < 4 < apart["separation"]
    assert mixed["mixing"] == pytest.approx(1, abs=0.25) and apart["mixing"] < 0.05
    assert mixed["log_distance_of_means"] < -2 < apart["log_distance_of_means"]


def compare_slowly(x, y):
    """`OF_VIEWS`, one by one and by their definitions."""
    means, spreads = [z.mean(axis=0) for z in (x, y)], [z.var(axis=0, ddof=1).sum() for z in (x, y)]
    apart = ((means[0] - means[1]) ** 2).sum() - spreads[0] / len(x) - spreads[1] / len(y)
    found = []
    for half in (0, 1):
        along = x[half::2].mean(axis=0) - y[half::2].mean(axis=0)
        a, b = (z[1 - half :: 2] @ along / np.linalg.norm(along) for z in (x, y))
        found.append((a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / 2 + 1e-6 * along @ along))
    both, is_y, shares = np.concatenate([x, y]), np.repeat([0, 1], [len(x), len(y)]), [[], []]
    for i, point in enumerate(both):
        away = [(np.linalg.norm(point - other), j) for j, other in enumerate(both) if j != i]
        nearest = [j for _, j in sorted(away)[: evidence.RULES.n_neighbours]]
        shares[is_y[i]].append(np.mean([is_y[j] != is_y[i] for j in nearest]))
    n = len(both) - 1
    return (
        np.clip(np.mean(found), -10, 10),
        means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1]),
        np.log(max(apart / sum(spreads), evidence.RULES.floor)),
        np.log(max(spreads) / min(spreads)),
        np.mean([np.mean(shares[0]) * n / len(y), np.mean(shares[1]) * n / len(x)]),
        np.log(sum(spreads) / (means[0] @ means[0])),
    )


@pytest.mark.parametrize("sizes", [(32, 32), (20, 12), (5, 9), (3, 2)])
def test_compiled_views_are_as_slow_ones(sizes):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(sizes[0], 3)), 0.5 + rng.normal(size=(sizes[1], 3))
    np.testing.assert_allclose(evidence.compare_views(x, y), compare_slowly(x, y), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_features_does_not_count(scale):
    x, y = np.random.default_rng(0).normal(size=(2, 16, 4)) + 2
    assert evidence.compare_views(scale * x, scale * y) == pytest.approx(evidence.compare_views(x, y), rel=1e-3)


def test_equal_spikes_give_numbers():
    assert np.isfinite(evidence.compare_views(np.ones((5, 3)), np.ones((4, 3)))).all()
    assert np.isfinite(evidence.compare_views(np.zeros((2, 3)), np.zeros((2, 3)))).all()
