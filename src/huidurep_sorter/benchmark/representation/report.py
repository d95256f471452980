"""Run the representation benchmark over a folder of recordings, and write its table and its figure.

Scores are kept in files, so that an interrupted benchmark goes on where it was.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from huidurep_sorter.benchmark.folders import find_folders
from huidurep_sorter.benchmark.representation.denoising import DENOISING_NAMES, denoising_scores
from huidurep_sorter.benchmark.representation.features import NAMED, compute_features
from huidurep_sorter.benchmark.representation.figure import save_figure
from huidurep_sorter.benchmark.representation.known_spikes import draw_spikes, read_known_spikes
from huidurep_sorter.benchmark.representation.scores import BAND_NAMES, bound, score
from huidurep_sorter.benchmark.representation.sessions import RECALL_NAMES, features_of_sessions, session_scores
from huidurep_sorter.encoder.checkpoints import load_encoder, shipped_weights
from huidurep_sorter.encoder.network import EncoderConfig

BLOCKS = {  # of the table: title to measures and digits
    "Clusters, adjusted Rand index": (["global", "local", "early", "late", "local unknown K"], 3),
    "Clusters by SNR, adjusted Rand index": (BAND_NAMES, 3),
    "Units recognised in the next session, recall at rank 1": (RECALL_NAMES, 3),
    "Denoising, gain in SNR in dB": (DENOISING_NAMES, 1),
}


def run_benchmark(data, output, features=None, seeds=(0, 1, 2), verbose=False):
    """Score features on every `NAME/recording`, `NAME/sorting` below a folder.

    Parameters
    ----------
    data, output : str or Path
        `NAME/next_session/recording` and `.../sorting`, where they are, hold the same units in a later recording.
    features : sequence of str or None, default: None
        As in `choose_methods`.
    seeds : sequence of int
        Of the choice of spikes and of the mixtures.
    verbose : bool, default: False

    Returns
    -------
    table : pandas.DataFrame
        Columns recording, features, seed, measure, value; also in `output/scores.csv`. `output/table.md` and
        `output/representation.png` show means and spreads. Scores in `output/parts` aren't computed anew.
    """
    output, folders, methods = Path(output), find_folders(data), choose_methods(features)
    (output / "parts").mkdir(parents=True, exist_ok=True)
    parts = {
        (folder.name, seed, label): output / "parts" / f"{folder.name}-{seed}-{_part_name(label, method)}.csv"
        for folder in folders
        for seed in seeds
        for label, method in {**methods, "bound": "bound"}.items()
    }
    with tqdm(total=len(folders) * len(seeds), desc="score", disable=not verbose) as bar:
        for folder in folders:
            _score_folder(folder, methods, seeds, parts, bar)
    table = pd.concat([pd.read_csv(part) for part in parts.values()], ignore_index=True)
    table = table.drop_duplicates(["recording", "features", "seed", "measure"])
    table.to_csv(output / "scores.csv", index=False)
    (output / "table.md").write_text(write_markdown(table), encoding="utf8")
    save_figure(table, output / "representation.png")
    return table


def choose_methods(features=None) -> dict:
    """Choose the features to compare.

    Parameters
    ----------
    features : sequence of str or None, default: None
        Names of `NAMED` ("pca", "svd"), and weights as in `load_encoder`. None: all names, and all weights that are
        shipped.

    Returns
    -------
    methods : dict
        Label to a name of `NAMED` or an Encoder.

    Raises
    ------
    FileNotFoundError
        If there are no such weights.
    ValueError
        If two are of the same name in folders of the same name, or a file is no encoder.
    """
    features = [*NAMED, *shipped_weights()] if features is None else list(features)
    stems = [Path(name).stem for name in features]
    methods = {}
    for name, stem in zip(features, stems, strict=True):
        label = stem if stems.count(stem) == 1 else "/".join([*Path(name).parts[-2:-1], stem])
        if label in methods:
            raise ValueError(f"features must differ in name: {label!r} is there twice")
        methods[label] = name if name in NAMED else load_encoder(name)
    return methods


def _part_name(label, method):
    """Name the file of a method's scores. The name of an encoder's file depends on its weights too."""
    if isinstance(method, str):
        return label
    state = method.model.state_dict()
    digest = hashlib.sha256(b"".join(state[key].cpu().numpy().tobytes() for key in sorted(state)))
    return f"{label.replace('/', '_')}-{digest.hexdigest()[:8]}"


def _score_folder(folder, methods, seeds, parts, bar):
    """Write the scores of one recording that aren't there yet. The recording is read once."""
    known = after = None
    for seed in seeds:
        missing = [label for label in [*methods, "bound"] if not parts[folder.name, seed, label].exists()]
        if missing and known is None:
            known = read_known_spikes(folder)
            if (folder / "next_session").is_dir():
                after = read_known_spikes(folder / "next_session")
        chosen = {label: methods[label] for label in missing if label in methods}
        for label, scores in _score(known, after, chosen, "bound" in missing, seed) if missing else ():
            rows = [
                dict(recording=folder.name, features=name, seed=seed, measure=measure, value=value)
                for name, values in scores.items()
                for measure, value in values.items()
            ]
            part = parts[folder.name, seed, label]
            pd.DataFrame(rows).to_csv(part.with_suffix(".partial"), index=False)
            part.with_suffix(".partial").replace(part)
        bar.update()


def _score(known, after, methods, with_bound, seed):
    """Yield each label with its scores: measures by the name of the features.

    An encoder comes with the denoising of PCA and of zeros, which its own is compared with.
    """
    drawn = draw_spikes(known, seed=seed)
    few = known.take(drawn)
    features = compute_features(few.recording, few.peaks, methods, seed)
    if after is not None:
        few_after = after.take(draw_spikes(after, seed=seed))
        both = features_of_sessions(few, few_after, methods, seed)
    for label, method in methods.items():
        scores = score(features[label], few, seed)
        if after is not None:
            scores |= session_scores(both[label], few, few_after)
        out = {label: scores}
        if not isinstance(method, str):
            denoised = denoising_scores(known, drawn, method, seed)
            scores |= denoised.pop("encoder")
            out |= {_beside(name, label, method): by_band for name, by_band in denoised.items()}
        yield label, out
    if with_bound:
        yield "bound", {"bound": dict(local=bound(features["snippets"], few, seed))}


def _beside(name, label, encoder):
    """Name "pca" or "zeros" beside an encoder. It has another name where the encoder's rank or window is unusual."""
    fields = ("window", "n_channels", "n_features")
    usual = all(getattr(encoder.config, field) == getattr(EncoderConfig(), field) for field in fields)
    return name if usual else f"{name} as {label}"


def write_markdown(table) -> str:
    """Write a block for each kind of score, with mean ± deviation over seeds of each recording and features."""
    n_seeds = table["seed"].nunique()
    lines = [f"Mean ± standard deviation over {n_seeds} seeds." if n_seeds > 1 else "One seed.", ""]
    for title, (measures, digits) in BLOCKS.items():
        chosen = table[table["measure"].isin(measures)]
        if chosen["value"].notna().any():
            lines += [f"**{title}**", "", *_markdown_block(chosen, measures, digits), ""]
    lines.append("–: no such units or spikes, or an encoder without a decoder. zeros: what giving back nothing gains.")
    return "\n".join(lines) + "\n"


def _markdown_block(table, measures, digits):
    """Write the lines of a table with a row for each recording and features."""
    grouped = table.groupby(["recording", "features", "measure"], sort=False)["value"]
    text = grouped.mean().map(lambda value: f"{value:.{digits}f}" if np.isfinite(value) else "–")
    spread = grouped.std().map(lambda value: f" ± {value:.{digits}f}" if np.isfinite(value) else "")
    wide = (text + spread).unstack(fill_value="").reindex(columns=measures, fill_value="")
    order = dict.fromkeys(zip(table["recording"], table["features"], strict=True))
    lines = ["| recording | features | " + " | ".join(measures) + " |", "|---" * (2 + len(measures)) + "|"]
    return lines + ["| " + " | ".join([*key, *wide.loc[key]]) + " |" for key in order]
