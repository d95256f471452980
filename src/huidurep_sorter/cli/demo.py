"""`huidurep demo`: a small recording with known truth, sorted by name, scored and drawn."""

from pathlib import Path

HIGH_SNR = 8.0
SCORES = ("accuracy", "recall", "precision")
ONE_JOB = dict(n_jobs=1, progress_bar=False)


def add_command(subparsers):
    """Add `demo`."""
    text = "Generate 60 s on 32 channels with known units, sort them, print the accuracy, draw a figure."
    parser = subparsers.add_parser("demo", help="try the sorter, without any data", description=text)
    parser.add_argument("-o", "--output", type=Path, default=Path("huidurep_demo"), help="default: %(default)s")
    parser.add_argument("-v", "--verbose", action="store_true", help="log and progress on stderr")
    parser.set_defaults(run=run)


def run(arguments):
    """Run the demo and print its table; returns the exit code."""
    output = arguments.output
    print(
        "Making a recording with known units (32 channels, 60 s) and sorting it: about a minute ...",
        flush=True,
    )
    table = run_demo(output, verbose=arguments.verbose)
    print(table.to_string(index=False, float_format="{:.2f}".format))
    high = table[table["snr"] >= HIGH_SNR]
    print(f"mean accuracy of the {len(high)} units with SNR >= {HIGH_SNR:g}: {high['accuracy'].mean():.3f}")
    print(f"figure: {output / 'demo.png'}")
    print(f"sorting: {output / 'sorting'} (open it with spikeinterface.sorters.read_sorter_folder)")
    return 0


def run_demo(output, *, num_channels=32, duration_s=60.0, num_units=20, seed=0, verbose=False, **sorter_params):
    """Generate, sort, compare, draw.

    Parameters
    ----------
    output : str or Path
        Gets `recording/`, `sorting/` and `demo.png`; those of an earlier demo are replaced.
    num_channels, duration_s, num_units, seed : int, float, int, int
        Of the generated recording.
    verbose : bool, default: False
    **sorter_params
        As for `run_sorter`.

    Returns
    -------
    table : pandas.DataFrame
        A row for each true unit, best first: unit, snr, spikes, accuracy, recall, precision.
    """
    from spikeinterface.comparison import compare_sorter_to_ground_truth
    from spikeinterface.core import generate_ground_truth_recording
    from spikeinterface.sorters import run_sorter

    output = Path(output)
    recording, truth = generate_ground_truth_recording(
        durations=[duration_s],
        sampling_frequency=30000.0,
        num_channels=num_channels,
        num_units=num_units,
        seed=seed,
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
    comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    true_templates = average_templates(recording, truth)
    table = score_table(comparison, truth, unit_snrs(recording, true_templates))

    from huidurep_sorter.cli.demo_figure import plot_demo

    figure = plot_demo(recording, truth, sorting, comparison, true_templates, table)
    figure.savefig(output / "demo.png", dpi=110)
    return table


def average_templates(recording, sorting):
    """SpikeInterface's dense templates of every unit; None without units."""
    from spikeinterface.core import create_sorting_analyzer

    if len(sorting.unit_ids) == 0:
        return None
    analyzer = create_sorting_analyzer(sorting, recording, sparse=False, verbose=False, job_kwargs=ONE_JOB)
    analyzer.compute(["random_spikes", "templates"], **ONE_JOB)
    return analyzer.get_extension("templates").get_data(outputs="Templates")


def unit_snrs(recording, templates):
    """Largest absolute amplitude of each template over the noise of its channel; (n_units,)."""
    import numpy as np
    from spikeinterface.core import get_noise_levels

    noise = get_noise_levels(recording, return_in_uV=templates.is_in_uV, random_slices_kwargs=dict(seed=0), **ONE_JOB)
    return (np.abs(templates.templates_array).max(axis=1) / noise).max(axis=1)


def score_table(comparison, truth, snrs):
    """A row for each true unit, highest SNR first."""
    import pandas as pd

    performance = comparison.get_performance()
    counts = truth.count_num_spikes_per_unit()
    rows = {
        "unit": list(truth.unit_ids),
        "snr": snrs,
        "spikes": [counts[unit_id] for unit_id in truth.unit_ids],
        **{name: performance.loc[truth.unit_ids, name].astype(float).to_numpy() for name in SCORES},
    }
    return pd.DataFrame(rows).sort_values("snr", ascending=False, ignore_index=True)
