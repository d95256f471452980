"""What is no neuron."""

import numpy as np

from huidurep_sorter import curation


def test_faint_units_must_be_more_distinct_than_others():
    properties = {
        "template_norm": np.array([20.0, 20.0, 9.0, 9.0, 9.0]),
        "confidence": np.array([0.5, 0.6, 0.6, 0.9, 0.9]),
        "refractory_violations": np.array([0.0, 0.8, 0.0, 0.0, 0.8]),
    }
    np.testing.assert_array_equal(curation.are_sure(properties, 0.55), [False, True, False, True, False])
