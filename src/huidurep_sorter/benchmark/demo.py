"""Generate a small recording with known units, sort it by name, and judge what was found."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core import create_sorting_analyzer, generate_ground_truth_recording, get_noise_levels
from spikeinterface.sorters import run_sorter

from huidurep_sorter.benchmark.collisions import close_units, matched_units, pairs_of_spikes, spikes_found

HIGH_SNR = 8.0
SCORES = ("accuracy", "recall", "precision")
COLLISION_MS = 1.0
SHOWN_LAG_MS = 0.5  # the spikes of the collision that is drawn overlap, and yet both can be seen
ONE_JOB = dict(n_jobs=1, progress_bar=False)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Hold what the demo generated and found.

    Attributes
    ----------
    recording : BaseRecording
    truth, sorting : BaseSorting
    true_templates, templates : Templates or None
        SpikeInterface's dense templates of the true and of the found units. None without units.
    match : dict
        True unit to the found unit that was matched with it.
    table : pandas.DataFrame
        A row for each true unit, highest SNR first: unit, snr, spikes, accuracy, recall, precision.
    collisions : Collisions
    """

    recording: object
    truth: object
    sorting: object
    true_templates: object
    templates: object
    match: dict
    table: pd.DataFrame
    collisions: "Collisions"

    @property
    def mean_accuracy(self):
        """Return the mean accuracy of the true units of high SNR."""
        return self.table.loc[self.table["snr"] >= HIGH_SNR, "accuracy"].mean()


@dataclass(frozen=True, kw_only=True)
class Collisions:
    """Hold the pairs of true spikes that overlap: of near units of high SNR, and at most 1 ms apart.

    Attributes
    ----------
    spikes : (n, 2) structured array
        Both spikes of each collision, as in SpikeInterface's spike vector, the earlier one first.
    distance_um : (n,) float
        Between the main channels of both units.
    found : (n,) bool
        Whether the sorter found both.
    """

    spikes: np.ndarray
    distance_um: np.ndarray
    found: np.ndarray

    def to_show(self, sampling_frequency):
        """Choose the collision to draw: of those that were found, of the nearest units, with a lag of about 0.5 ms.

        Returns
        -------
        spikes : (2,) structured array or None
            None where none was found.
        """
        if not self.found.any():
            return None
        lag = self.spikes["sample_index"][:, 1] - self.spikes["sample_index"][:, 0]
        order = np.lexsort((np.abs(lag - SHOWN_LAG_MS / 1000 * sampling_frequency), self.distance_um))
        return self.spikes[order[self.found[order]][0]]


def run_demo(output, *, num_channels=32, duration_s=60.0, num_units=20, seed=0, verbose=False, **sorter_params) -> Demo:
    """Generate a recording, sort it, and compare the sorting with the truth.

    Parameters
    ----------
    output : str or Path
        Gets `recording/` and `sorting/`. Those of an earlier demo are replaced.
    num_channels, duration_s, num_units, seed : int, float, int, int
        Of the generated recording.
    verbose : bool, default: False
    **sorter_params
        As for `run_sorter`.
    """
    output = Path(output)
    recording, truth = generate_ground_truth_recording(
        durations=[duration_s], sampling_frequency=30000.0, num_channels=num_channels, num_units=num_units, seed=seed
    )
    recording = recording.save(folder=output / "recording", overwrite=True, verbose=False, progress_bar=False)
    sorting = run_sorter(
        "huidurep",
        recording,
        folder=output / "sorting",
        remove_existing_folder=True,
        verbose=verbose,
        **sorter_params,
    )
    return judge(recording, truth, sorting)


def judge(recording, truth, sorting) -> Demo:
    """Compare a sorting with the truth."""
    comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    true_templates, match = average_templates(recording, truth), matched_units(comparison)
    snrs = unit_snrs(recording, true_templates)
    return Demo(
        recording=recording,
        truth=truth,
        sorting=sorting,
        true_templates=true_templates,
        templates=average_templates(recording, sorting),
        match=match,
        table=score_table(comparison, truth, snrs),
        collisions=find_collisions(truth, sorting, match, true_templates, snrs),
    )


def average_templates(recording, sorting):
    """Compute SpikeInterface's dense templates of every unit; None without units."""
    if len(sorting.unit_ids) == 0:
        return None
    analyzer = create_sorting_analyzer(sorting, recording, sparse=False, job_kwargs=ONE_JOB)
    analyzer.compute(["random_spikes", "templates"], **ONE_JOB)
    return analyzer.get_extension("templates").get_data(outputs="Templates")


def unit_snrs(recording, templates):
    """Divide the largest absolute amplitude of each template by the noise of its channel, (n_units,)."""
    noise = get_noise_levels(recording, return_in_uV=templates.is_in_uV, random_slices_kwargs=dict(seed=0), **ONE_JOB)
    return (np.abs(templates.templates_array).max(axis=1) / noise).max(axis=1)


def score_table(comparison, truth, snrs):
    """Make a row for each true unit, highest SNR first."""
    performance = comparison.get_performance()
    counts = truth.count_num_spikes_per_unit()
    rows = {
        "unit": list(truth.unit_ids),
        "snr": snrs,
        "spikes": [counts[unit_id] for unit_id in truth.unit_ids],
        **{name: performance.loc[truth.unit_ids, name].astype(float).to_numpy() for name in SCORES},
    }
    return pd.DataFrame(rows).sort_values("snr", ascending=False, ignore_index=True)


def find_collisions(truth, sorting, match, true_templates, snrs) -> Collisions:
    """Find overlapping spikes of near units of high SNR, and whether the sorter found both."""
    main = np.abs(true_templates.templates_array).max(axis=1).argmax(axis=1)
    high = snrs >= HIGH_SNR
    location = true_templates.get_channel_locations()[main]
    close = close_units(location) & high[:, None] & high
    first, second, _ = pairs_of_spikes(truth, close, COLLISION_MS / 1000 * truth.sampling_frequency)
    found = spikes_found(truth, sorting, match)
    spikes = truth.to_spike_vector()[np.column_stack([first, second])]
    distance_um = np.linalg.norm(np.diff(location[spikes["unit_index"]], axis=1)[:, 0], axis=1)
    return Collisions(spikes=spikes, distance_um=distance_um, found=found[first] & found[second])
