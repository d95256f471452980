"""Adapt an encoder to a lab's own recordings, and tell on times that it didn't see whether that made it better."""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

from huidurep_sorter.__about__ import __version__
from huidurep_sorter.encoder.checkpoints import find_weights, sha256
from huidurep_sorter.encoder.network import Encoder
from huidurep_sorter.training.train import Run
from huidurep_sorter.training.validation import N_NEIGHBOURS, nn_hit_rates

SEEDS = range(5)  # draws of held-out spikes: enough that their spread is known
MAX_P = 0.05  # by chance alone one adaptation in 20 seems better; fewer than five units can't show it (encoder-59)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Scores of the same units by an encoder before and after training.

    Attributes
    ----------
    before, after : (n_draws, n_units) float64
        nn hit rate of each unit, for each draw of held-out spikes.
    recording : (n_units,) str
        Name of each unit's recording.
    """

    before: np.ndarray
    after: np.ndarray
    recording: np.ndarray

    @property
    def gain(self) -> float:
        """Give the mean gain of a unit."""
        return float((self.after - self.before).mean())

    @property
    def error(self) -> float:
        """Give the standard error of the gain over units."""
        gains = (self.after - self.before).mean(axis=0)
        return float(gains.std(ddof=1) / np.sqrt(len(gains)))

    @property
    def p(self) -> float:
        """Give the probability of such gains by chance: a one-sided signed-rank test, as few units gain by far most."""
        gains = (self.after - self.before).mean(axis=0).round(6)
        gains = gains[gains != 0]  # many units are perfect before and after
        return float(wilcoxon(gains, alternative="greater", method="exact").pvalue) if len(gains) else 1.0

    @property
    def is_better(self) -> bool:
        """Say whether the gain is more than chance explains, and more than draws of spikes differ by."""
        return self.p < MAX_P and self.gain > (self.after - self.before).mean(axis=1).std(ddof=1)

    def write(self) -> str:
        """Write a table with a row for each recording, and a line with the gain."""
        names = [*dict.fromkeys(self.recording)]
        masks = {name: self.recording == name for name in names}
        if len(names) > 1:
            masks["all"] = np.ones(len(self.recording), dtype=bool)
        lines = ["| recording | units | before | after |", "|---|---|---|---|"]
        for name, these in masks.items():
            means = [x[:, these].mean(axis=1) for x in (self.before, self.after)]
            scores = " | ".join(f"{x.mean():.3f} ± {x.std(ddof=1):.3f}" for x in means)
            lines.append(f"| {name} | {these.sum()} | {scores} |")
        verdict = "better" if self.is_better else "not better"
        gain = f"gain: {self.gain:.3f} ± {self.error:.3f} (standard error over units; p = {self.p:.2g})"
        return "\n".join([*lines, "", f"{gain}, so it is {verdict}"])


SCORE = (
    "On the quarter of the time that training didn't see. Mean waveforms of units on stretches of noise:\n"
    f"of the {N_NEIGHBOURS} nearest ones in features, among units within 60 um, the share that is of the same unit.\n"
    f"Mean over units ± deviation over {len(SEEDS)} draws."
)


def compare(run: Run, encoder) -> Comparison:
    """Score the encoder that training started from, and the trained one, on what training didn't see.

    Parameters
    ----------
    run : Run
        Whose recordings were sorted.
    encoder : HuiduRep
        The trained one.

    Raises
    ------
    ValueError
        If fewer than two units can be scored.
    """
    encoders = [Encoder(copy.deepcopy(model), run.device) for model in (run.initial, encoder)]
    scores = {
        name: [nn_hit_rates(e, spikes.held_out, SEEDS) for e in encoders] for name, spikes in run.own_spikes().items()
    }
    recording = np.repeat(list(scores), [len(rates[0][0]) for rates in scores.values()])
    if len(recording) < 2:
        raise ValueError(f"only {len(recording)} units have another one within 60 um: too few to tell what is better")
    before, after = (np.concatenate([rates[i] for rates in scores.values()], axis=1) for i in (0, 1))
    return Comparison(before=before, after=after, recording=recording)


def write_card(run: Run, comparison: Comparison, start: str, command: str, sources: dict) -> Path:
    """Write the model card beside the weights, and give its path.

    Parameters
    ----------
    run : Run
        Whose weights are written.
    comparison : Comparison
    start : str
        The weights that training started from.
    command : str
    sources : dict of str to str
        Path of each recording, by name.
    """
    weights = run.weights
    data = [
        f"- {name}: `{sources[name]}`, {recording.get_num_channels()} channels, {recording.get_total_duration():.0f} s "
        f"at {recording.sampling_frequency:g} Hz"
        for name, recording in run.recordings.items()
    ]
    text = CARD.format(
        name=run.config.name,
        version=__version__,
        file=weights.name,
        digest=sha256(weights),
        start=start,
        command=command,
        seed=run.config.seed,
        data="\n".join(data),
        score=SCORE,
        table=comparison.write(),
    )
    card = weights.with_suffix(".md")
    card.write_text(text, encoding="utf8")
    return card


def describe_weights(init) -> str:
    """Name the weights that training started from, with their digests; several: their mean."""
    paths = [find_weights(name) for name in init]
    names = [f"`{path.stem}` (sha256 `{sha256(path)}`)" for path in paths]
    return names[0] if len(names) == 1 else f"the mean of {', '.join(names)}"


CARD = """# Model card: `{name}`

An encoder of huidurep-sorter {version}, adapted to recordings of its user.

| | |
|---|---|
| file | `{file}`, sha256 `{digest}` |
| starts from | {start}; the licence of those weights holds for these too |
| command | `{command}` |
| seed | {seed}; all settings are in `config.json` |

## Data

{data}

## Scores

{score}
Nobody labelled these units: the sorter found them, with SVD features. Other recordings were not looked at.

{table}
"""
