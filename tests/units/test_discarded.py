import numpy as np

from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.units.discarded import list_discarded


def test_units_with_a_reason_are_listed_but_for_those_without_spikes():
    spikes = Spikes.at(np.arange(6), [3, 3, 5, 5, 5, 7], [0, 0, 1, 1, 1, 3])
    listed = list_discarded(spikes, ["small", None, "gone", "rare"], np.array([4.0, 50.0, 2.0, 30.0]))
    assert listed.to_numpy().tolist() == [["small", 2, 4.0, 3], ["rare", 1, 30.0, 7]]


def test_norms_that_nobody_knows_are_nan_and_an_empty_table_has_its_types():
    spikes = Spikes.at(np.arange(2), [3, 3], [0, 0])
    assert np.isnan(list_discarded(spikes, ["small"])["template_norm"]).all()
    assert list_discarded(spikes, [None]).dtypes.equals(list_discarded(spikes, ["small"]).dtypes)
