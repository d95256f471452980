"""When simulated units fire: for a while, and together."""

import numpy as np
import pytest

from huidurep_sorter.training.simulated_trains import (
    REFRACTORY_S,
    draw_common_bursts,
    fire,
    fire_for_a_while,
    move_into_bursts,
)
from huidurep_sorter.training.simulation import SimulationConfig

STILL = np.zeros(1000, dtype="int64")  # the probe's displacement, ten times a second


def test_a_unit_that_fires_for_a_while_is_silent_before_and_after():
    times = np.arange(0, 100, 0.1)
    for seed in range(5):
        kept = fire_for_a_while(times, 100.0, np.random.default_rng(seed))
        assert 14 < np.ptp(kept) < 70 and np.diff(kept).max() < 0.11 and set(kept) <= set(times)


def test_spikes_of_bursts_lie_in_them_and_keep_the_refractory_period():
    times = np.cumsum(np.random.default_rng(0).exponential(0.1, 2000))
    moved = move_into_bursts(times, 2.0, 0.2, 1.0, np.random.default_rng(1))
    assert (moved % 2.0 < 0.2).all() and len(moved) > 0.7 * len(times)
    assert np.diff(moved).min() >= REFRACTORY_S
    half = move_into_bursts(times, 2.0, 0.2, 0.5, np.random.default_rng(1))
    assert 0.45 < (half % 2.0 < 0.2).mean() < 0.6


@pytest.mark.parametrize(("together", "drawn"), [(0.0, False), (1.0, True)])
def test_common_bursts_are_drawn_where_they_are_wanted(together, drawn):
    assert (draw_common_bursts(SimulationConfig(together=together), np.random.default_rng(0)) is not None) == drawn


class Counting:
    """A generator that counts its draws from 0 to 1."""

    def __init__(self):
        self.rng, self.n_draws = np.random.default_rng(0), 0

    def random(self):
        self.n_draws += 1
        return self.rng.random()

    def __getattr__(self, name):
        return getattr(self.rng, name)


@pytest.mark.parametrize(("part_time", "n_draws"), [(0.0, 1), (1e-9, 2)])
def test_what_is_not_wanted_draws_no_number(part_time, n_draws):
    """So that recordings of a seed stay what they were: the one number says whether spikes shrink in bursts."""
    rng = Counting()
    spikes = fire(0, 5.0, SimulationConfig(duration_s=20.0, part_time=part_time), 30000.0, STILL, None, rng)
    assert rng.n_draws == n_draws and len(spikes) > 50
    assert np.diff(spikes["sample_index"]).min() >= int(REFRACTORY_S * 30000) - 1
