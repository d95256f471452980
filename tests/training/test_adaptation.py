"""When an adapted encoder is better, and what its card says."""

import numpy as np
import pytest

from huidurep_sorter.encoder.checkpoints import find_weights
from huidurep_sorter.training.adaptation import Comparison, describe_weights, sha256


def comparison(gains, deviation=0.0, n_draws=5, seed=0):
    """Compare units with some gains, (n_units,), and scores that vary between draws."""
    rng = np.random.default_rng(seed)
    before = np.full((n_draws, len(gains)), 0.8)
    after = before + np.array(gains) + rng.normal(0, deviation, (n_draws, 1))
    return Comparison(before=before, after=after, recording=np.array(["one"] * len(gains)))


@pytest.mark.parametrize(
    ("gains", "deviation", "better"),
    [
        ([0.05, 0.04, 0.06, 0.05, 0.01], 0.0, True),
        ([0.05, 0.04, 0.06, 0.05, 0.01], 0.2, False),  # draws differ by more
        ([0.3, 0.01, 0.01, 0.02, 0.02, 0.0, 0.0], 0.0, True),  # of one by far the most, and of others too
        ([0.3, 0.0, 0.0, 0.0, 0.0, 0.0], 0.0, False),  # a single unit
        ([0.3, -0.1, -0.1, -0.01, -0.02], 0.0, False),
        ([0.0] * 6, 0.0, False),
        ([-0.05, -0.04, -0.06, -0.05, -0.01], 0.0, False),
        ([0.05, 0.02, 0.04, 0.03], 0.0, False),  # four units can't show it
    ],
)
def test_better_is_more_than_chance(gains, deviation, better):
    assert comparison(gains, deviation).is_better == better


def test_the_table_has_each_recording_and_all():
    both = comparison([0.1, 0.1, 0.2])
    both.recording[2] = "two"
    text = both.write()
    assert "| one | 2 | 0.800 ± 0.000 | 0.900 ± 0.000 |" in text
    assert "| two | 1 | 0.800 ± 0.000 | 1.000 ± 0.000 |" in text
    assert (
        "| all | 3 |" in text
        and "gain: 0.133 ± 0.033 (standard error over units; p = 0.12), so it is not better" in text
    )
    assert "| all |" not in comparison([0.1, 0.1]).write()


def test_weights_are_described_with_their_digests():
    assert describe_weights(["fast"]) == f"`fast` (sha256 `{sha256(find_weights('fast'))}`)"
    assert describe_weights(["fast", "base"]).startswith("the mean of `fast` (sha256 `")
