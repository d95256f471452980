"""Examples of what the sorter must decide, of a simulated recording."""

import numpy as np

from huidurep_sorter.templates.evidence import EVIDENCE
from huidurep_sorter.training.decisions import DecisionsConfig
from huidurep_sorter.training.examples import Examples, collect, describe_parts
from huidurep_sorter.training.footprints import read_footprints
from huidurep_sorter.training.simulation import SimulationConfig, simulate
from huidurep_sorter.training.sorted_by_truth import STAGES
from huidurep_sorter.units.single_unit import EVIDENCE as OF_UNITS
from tests.known import two_neurons, units


def test_a_simulated_recording_gives_examples_of_every_question(footprint_file):
    simulation = SimulationConfig(duration_s=20.0, n_channels=16, drift_probability=0.0, snr_median=(8.0, 12.0))
    simulated = simulate(read_footprints(footprint_file), simulation, 1)
    config = DecisionsConfig(wrongly_merged=0.5)
    examples = collect(simulated, config, 7, np.random.default_rng(0))
    pairs, of_units = examples["same_neuron"], examples["single_unit"]
    is_one = pairs.answers[:, 0]
    assert pairs.evidence.shape == (len(is_one), 2, len(EVIDENCE)) and np.isfinite(pairs.evidence).all()
    assert (pairs.stage == STAGES.index("clusters")).sum() > 10 and pairs.recording.tolist() == [7] * len(pairs.stage)
    alike = pairs.evidence[:, 0, EVIDENCE.index("template_difference")]
    assert np.median(alike[is_one]) < np.median(alike[~is_one])
    assert of_units.evidence.shape == (len(of_units.answers), 2, len(OF_UNITS)) and np.isfinite(of_units.evidence).all()
    assert of_units.answers.shape[1] == 2 and (of_units.purity[of_units.answers[:, 1]] >= 0.8).all()
    are_parts = pairs.stage == STAGES.index("mixed units")
    np.testing.assert_array_equal(pairs.evidence[:, :, EVIDENCE.index("are_parts")].T, [are_parts, are_parts])
    assert are_parts.any()
    norms = of_units.evidence[:, 0, OF_UNITS.index("log_norm")]
    assert len(norms) > 3 and (norms > 1).all()


def test_parts_of_one_neuron_are_one_and_parts_of_two_are_two():
    traces, *trains = two_neurons()
    known = np.zeros(sum(map(len, trains)), [("sample_index", "int64"), ("unit_index", "int64")])
    known["sample_index"] = np.concatenate(trains)
    known["unit_index"] = np.repeat([0, 1], list(map(len, trains)))
    known = np.sort(known, order="sample_index")
    mixed = units(known["sample_index"])
    for found, is_one in ((mixed, False), (units(trains[0]), True)):
        examples = describe_parts(traces, found, known, DecisionsConfig(), 5, 0)
        assert examples.answers.tolist() == [[is_one]] * 2  # cut by each kind of features
        assert (examples.evidence[:, :, EVIDENCE.index("are_parts")] == 1).all()
    few = describe_parts(traces, units(trains[0][:30]), known, DecisionsConfig(), 5, 0)
    assert len(few.answers) == 0


def test_examples_survive_the_disk(tmp_path):
    nothing = Examples.none(2, 5, 1)
    nothing.save(tmp_path / "a.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    again = Examples.load([tmp_path / "a.npz", tmp_path / "a.npz"])
    assert again.evidence.shape == (0, 2, 5) and again.answers.dtype == bool
