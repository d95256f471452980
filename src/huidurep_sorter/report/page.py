"""The report: one page of HTML that needs no other file and no server."""

import importlib.metadata
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from spikeinterface.core import load
from spikeinterface.core.base import base_period_dtype
from spikeinterface.core.motion import Motion
from spikeinterface.postprocessing import compute_auto_correlograms

from huidurep_sorter.__about__ import __version__
from huidurep_sorter.report import figures
from huidurep_sorter.report.findings import NAME as FINDINGS
from huidurep_sorter.report.findings import Findings
from huidurep_sorter.runtime import read_stages
from huidurep_sorter.units.properties import PROPERTIES

NAME = "report.html"
MERGES = "merges.csv"
MERGE_TYPES = dict(stage="str", decision="str", channel_id="str")  # also of a table without a row
WINDOW_MS = 100.0  # of an autocorrelogram
BIN_MS = 1.0
DOUBTFUL = (0.1, 0.9)  # probability of the decisions that are listed
MOST_MERGES = 40  # that are listed, those nearest to the limit
PACKAGES = ("spikeinterface", "torch", "numpy", "scipy", "scikit-learn", "numba")
PREFIX = "huidurep_"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a sorting left in its folder.

    Attributes
    ----------
    sorting : BaseSorting
    findings : Findings or None
        None for an empty sorting.
    artefacts : structured array (n_periods,)
    motion : Motion or None
    merges : DataFrame or None
        Which clusters and units were merged, or nearly, or split; None where nobody knows, as for another sorter.
    parameters : dict
    log : str
    """

    sorting: object
    findings: Findings | None
    artefacts: np.ndarray
    motion: Motion | None
    merges: pd.DataFrame | None
    parameters: dict
    log: str

    @classmethod
    def load(cls, folder) -> "Run":
        """Load them from the folder of the output of the sorter (`sorter_output`)."""
        folder = Path(folder)
        nothing = np.zeros(0, dtype=[*base_period_dtype, ("filled", "bool")])
        parameters, log = folder.parent / "spikeinterface_params.json", folder / "huidurep.log"
        return cls(
            sorting=load(folder / "sorting"),
            findings=Findings.load(folder) if (folder / FINDINGS).is_file() else None,
            artefacts=np.load(folder / "artefacts.npy") if (folder / "artefacts.npy").is_file() else nothing,
            motion=Motion.load(folder / "motion") if (folder / "motion").is_dir() else None,
            merges=pd.read_csv(folder / MERGES, dtype=MERGE_TYPES) if (folder / MERGES).is_file() else None,
            parameters=json.loads(parameters.read_text("utf8"))["sorter_params"] if parameters.is_file() else {},
            log=log.read_text("utf8") if log.is_file() else "",
        )


def write_report(folder, title=None):
    """Write the report of a sorting beside it.

    Parameters
    ----------
    folder : str or Path
        The output of the sorter (`sorter_output`).
    title : str, optional
        Name of the recording, by default that of the folder above.

    Returns
    -------
    path : Path
        Of `report.html`, which is there only when it is complete.
    """
    folder = Path(folder)
    page = make_page(Run.load(folder), title or folder.absolute().parent.name)
    partial = folder / f"{NAME}.partial"
    partial.write_text(page, encoding="utf8")
    return partial.replace(folder / NAME)


def make_page(run, title):
    """Make the page of a run, a text of HTML."""
    discarded = [] if run.findings is None else list_discarded(run.findings)
    with matplotlib.rc_context(figures.STYLE):
        pictures, units = draw(run)
    return load_template("report/page.html.jinja").render(
        title=title,
        n_units=len(run.sorting.unit_ids),
        n_spikes=f"{run.sorting.to_spike_vector().size:,}",
        facts=list_facts(run),
        units=units,
        columns=list(units[0]["properties"]) if units else [],
        discarded=discarded,
        reasons=Counter(row["reason"] for row in discarded),
        merges=list_merges(run),
        stages=list_stages(run.log),
        parameters=run.parameters,
        versions={"huidurep-sorter": __version__} | {name: importlib.metadata.version(name) for name in PACKAGES},
        log=run.log,
        **pictures,
    )


def load_template(name):
    """Load a template of this package, by its path below the package."""
    loader = PackageLoader("huidurep_sorter", ".")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template(name)


def draw(run):
    """Draw the pictures of a run.

    Returns
    -------
    pictures : dict
        `overview` and `map`, each an address or None.
    units : list of dict
        Of each unit `id`, `colour`, `image` and `properties`, as texts.
    """
    findings, sorting = run.findings, run.sorting
    if findings is None:
        return dict(overview=None, map=None), []
    where = np.column_stack([sorting.get_property(PREFIX + axis) for axis in "xy"])
    colours = figures.colours_of(len(where), where[:, 1])
    pictures = dict(
        overview=figures.draw_overview(findings, where, colours, run.artefacts, run.motion),
        map=figures.draw_map(findings, colours),
    )
    images = figures.draw_units(findings, *autocorrelograms(sorting), colours)
    names = [name for name in [*PROPERTIES, "main_channel_id", "group"] if name in sorting.get_property_keys()]
    table = pd.DataFrame({name: sorting.get_property(name) for name in names})
    table[["huidurep_x", "huidurep_y"]] = table[["huidurep_x", "huidurep_y"]].round().astype("int64")
    table.columns = [name.removeprefix(PREFIX) for name in table.columns]
    rows = table.to_dict("records")
    units = [
        dict(id=str(i), colour=c, image=image, properties=as_texts(row), why=say_why_kept(row, run.parameters))
        for i, c, image, row in zip(sorting.unit_ids, colours, images, rows, strict=True)
    ]
    return pictures, units


def autocorrelograms(sorting):
    """Compute by SpikeInterface how often each unit fires around its own spikes, in Hz, and the edges of bins in ms."""
    counts, bins_ms = compute_auto_correlograms(sorting, window_ms=WINDOW_MS, bin_ms=BIN_MS, method="numpy")
    n_spikes = sorting.count_num_spikes_per_unit(outputs="array")
    return counts / np.maximum(n_spikes, 1)[:, None] / (BIN_MS / 1000), bins_ms


def say_why_kept(row, parameters):
    """Say what speaks for a unit, from its properties by name; for a sorting of ours also what was needed."""
    norm, hit_rate = row["template_norm"], row["nn_hit_rate"]
    least = f" (least: {parameters['min_template_norm']:g})" if "min_template_norm" in parameters else ""
    return (
        f"{row['label']}: one neuron with a probability of {row['single_unit_probability']:.2f}. "
        f"{row['num_spikes']:,} spikes, {row['firing_rate']:.2f} Hz. Template norm {norm:.1f}{least}. "
        f"Violations of the refractory period: {row['isi_violations_ratio']:.2f} (SpikeInterface's ratio). "
        f"Of the spikes nearest to its own in the embedding {100 * hit_rate:.0f} % are its own."
    )


def as_texts(row):
    """Write the values of a dict for a reader."""
    return {name: as_text(value) for name, value in row.items()}


def as_text(value):
    """Write a value for a reader, numbers with three digits."""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def list_facts(run):
    """List what is to be known of the recording and of what was done to it, name to text."""
    facts = {}
    if run.findings is not None:
        fs, n_samples = run.findings.sampling_frequency[0], run.findings.n_samples[0]
        shanks = len(np.unique(run.findings.shanks))
        facts["channels"] = f"{len(run.findings.channel_ids)}" + (f" on {shanks} shanks" if shanks > 1 else "")
        facts["duration"] = f"{n_samples / fs:,.1f} s at {fs:g} Hz"
        length = run.artefacts["end_sample_index"] - run.artefacts["start_sample_index"]
        filled = run.artefacts["filled"]
        facts["set aside"] = (
            f"{len(length)} periods, {length.sum() / fs:.1f} s, {100 * length.sum() / n_samples:.2f} % of all; "
            f"{length[filled].sum() / fs:.1f} s of them filled with noise"
            if len(length)
            else "nothing"
        )
    told = [line.partition(" INFO ")[2] or line.partition(" WARNING ")[2] for line in run.log.splitlines()]
    motion = [line for line in told if line.startswith("motion is ")]
    return facts | ({"motion": motion[-1].removeprefix("motion is ").replace(" um", " µm")} if motion else {})


def list_discarded(findings):
    """List the units that were left out, the largest first, a list of dicts of texts."""
    rows = findings.discarded.sort_values("template_norm", ascending=False, kind="stable").to_dict("records")
    for row in rows:
        channel = row.pop("channel_index")
        x, y = findings.contacts_um[channel]
        row |= dict(channel=findings.channel_ids[channel], x=f"{x:.0f}", y=f"{y:.0f}")
    return [as_texts(row) for row in rows]


def list_merges(run):
    """Say how many clusters and units were merged or split, and list the decisions that were least sure.

    Returns
    -------
    merges : dict or None
        `summary`, a text, and `rows`, a list of dicts of texts.
    """
    if run.merges is None or run.findings is None:
        return None
    counts = run.merges[["decision", "stage"]].value_counts()
    clusters, units, split = (
        counts.get(what, 0) for what in (("merged", "clusters"), ("merged", "units"), ("split", "units"))
    )
    summary = f"{clusters} clusters and {units} units were merged, and {split} units split"
    least = run.parameters.get("min_merge_probability", 0.5)
    doubtful = run.merges.assign(away=(run.merges["probability"] - least).abs())
    doubtful = doubtful[doubtful["probability"].between(*DOUBTFUL)].sort_values("away", kind="stable").head(MOST_MERGES)
    rows = []
    for row in doubtful.drop(columns="away").to_dict("records"):
        channel = row.pop("channel_id")
        x, y = run.findings.contacts_um[list(run.findings.channel_ids).index(channel)]
        row |= dict(channel=channel, x=f"{x:.0f}", y=f"{y:.0f}")
        rows.append(as_texts(row))
    return dict(summary=summary, rows=rows)


def list_stages(log):
    """List what each stage took, a list of dicts of texts, with the share of the largest for a bar."""
    stages = {name: np.array(runs) for name, runs in read_stages(log).items() if name != "total"}
    longest = max((runs[:, 0].sum() for runs in stages.values()), default=1.0)
    return [
        dict(
            stage=name,
            runs=str(len(runs)),
            seconds=f"{runs[:, 0].sum():.1f}",
            cpu_seconds=f"{runs[:, 1].sum():.1f}",
            memory=f"{runs[:, 2].max():.2f}",
            width=f"{100 * runs[:, 0].sum() / max(longest, 1e-9):.0f}",
        )
        for name, runs in stages.items()
    ]
