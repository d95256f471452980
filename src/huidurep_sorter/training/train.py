"""The training loop: batches of scenes, the losses, a log, checkpoints that resume."""

import copy
import csv
import hashlib
import json
import logging
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from spikeinterface.core import BaseRecording
from threadpoolctl import threadpool_limits
from torch.nn import functional as F
from tqdm.auto import trange

from huidurep_sorter.encoder.checkpoints import choose_device, load_encoder, save_encoder
from huidurep_sorter.encoder.network import Encoder, HuiduRep
from huidurep_sorter.training.config import PretrainingConfig
from huidurep_sorter.training.initial import initial_encoder
from huidurep_sorter.training.losses import (
    alignment,
    distillation,
    effective_rank,
    info_nce,
    own_centroid,
    same_neuron,
    uniformity,
)
from huidurep_sorter.training.model import ContrastiveModel
from huidurep_sorter.training.own_units import OwnSpikes, prepare_own_units
from huidurep_sorter.training.sources import open_recordings, prepare_recordings, prepare_simulated
from huidurep_sorter.training.validation import validate
from huidurep_sorter.training.views import Scenes, draw_batch, make_view

logger = logging.getLogger(__name__)

VALIDATION_SEED = 1000  # added to the seed of the simulated recordings that validate, so that they are others
COLLAPSED_RANK = 2.0  # effective rank of 32 features; under it they hardly differ but in one direction
N_DESCRIBED = 1000  # samples that tell one recording from another: noise is never the same
FINAL_RATE = 0.01  # of the learning rate, at the last step: small enough that the weights come to rest


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that was checked, and whose folder is its own.

    Attributes
    ----------
    config : PretrainingConfig
        With the architecture that is trained.
    folder : Path
    initial : HuiduRep or None
        What training starts from; None: random weights.
    teacher : HuiduRep or None
    device : torch.device
    recordings : dict of str to BaseRecording, or None
        To train on, in place of those of the configuration.
    """

    config: PretrainingConfig
    folder: Path
    initial: HuiduRep | None
    teacher: HuiduRep | None
    device: torch.device
    recordings: dict | None

    @property
    def weights(self) -> Path:
        """Give the file that the result is written to."""
        return self.folder / f"{self.config.name}.safetensors"

    def train(self, verbose=False, show_steps=None):
        """Train, from the last checkpoint on where there is one; give the trained HuiduRep.

        Parameters
        ----------
        verbose : bool, default: False
            Show progress bars.
        show_steps : bool or None, default: None
            Show the one of training; None: as `verbose`.

        Raises
        ------
        ValueError
            If there is no spike to train on.
        """
        config, show_steps = self.config, verbose if show_steps is None else show_steps
        training, validation = prepare_data(config, self.folder / "data", self.recordings, verbose)
        model = _build_model(copy.deepcopy(self.initial), config).to(self.device)
        initial = [p.detach().clone() for p in model.encoder.parameters()]
        # one thread where sorting has one too: on a machine with other work threads wait for one another (sorters-10)
        with threadpool_limits(limits=1 if config.data.sort else None):
            _train(model, self.teacher, training, validation, config, self.folder, self.device, show_steps)
        _mix(model.encoder, initial, config.training.init_share)
        return model.encoder

    def own_spikes(self):
        """Give the spikes of each recording that was sorted and has units, by name, as `OwnSpikes`."""
        folders = {name: self.folder / "data" / name for name in self.recordings}
        return {name: OwnSpikes.load(folder) for name, folder in folders.items() if folder.exists()}

    def save(self, encoder, **metadata) -> Path:
        """Write trained weights with how they came to be, and further text by name; give their file."""
        save_encoder(encoder, self.weights, training=_provenance(self.config), **metadata)
        return self.weights


def open_run(config, folder, init=None, device="auto", recordings=None) -> Run:
    """Check all that a run needs, before any work, and make its folder.

    Parameters
    ----------
    config, folder, init, device, recordings
        As in `pretrain`.

    Raises
    ------
    OSError, ValueError
        If the configuration doesn't fit the weights, the folder or the device; in one line.
    """
    if not recordings and not config.data.recordings and not config.data.footprints:
        raise ValueError("there is nothing to train on: name recordings, or footprint files to simulate from")
    if config.training.init_share and init is None:
        raise ValueError("init_share averages with the weights that training starts from: name them with init")
    device = choose_device(device)
    if not recordings and config.data.recordings:
        recordings = open_recordings(config.data.recordings)
    initial = initial_encoder(init, config.encoder)
    if initial is not None:
        config = replace(config, encoder=initial.config)
    teacher = _load_teacher(config, device)
    _claim_folder(Path(folder), config, recordings)
    return Run(
        config=config, folder=Path(folder), initial=initial, teacher=teacher, device=device, recordings=recordings
    )


def pretrain(
    config: PretrainingConfig,
    folder: str | Path,
    init: str | Path | list[str | Path] | None = None,
    device: str | torch.device = "auto",
    verbose: bool = False,
    recordings: dict[str, BaseRecording] | None = None,
) -> Path:
    """Train an encoder; go on where a run in the same folder stopped.

    Parameters
    ----------
    config : PretrainingConfig
    folder : str or Path
        It receives `data/` (the spikes), `checkpoint.pt`, `log.csv`, TensorBoard's events, `NAME.safetensors`.
    init : str, Path, list of these or None, default: None
        Weights to start from (fine-tuning), as in `load_encoder`, or several to start from their mean. Their
        architecture replaces `config.encoder`. Where `config.encoder` is the same with more layers, the weights grow.
    device : str or torch.device, default: "auto"
        As in `load_encoder`.
    verbose : bool, default: False
        Show progress bars.
    recordings : dict of str to BaseRecording, optional
        To train on, by name, in place of the folder that the configuration names.

    Returns
    -------
    weights : Path
        The trained encoder, for `load_encoder`.

    Raises
    ------
    ValueError
        If the configuration doesn't fit the weights, the folder or the data.
    """
    run = open_run(config, folder, init, device, recordings)
    return run.save(run.train(verbose))


def _build_model(encoder, config):
    """Add to the encoder, or to a new one, what training needs; random weights come from the seed alone."""
    with torch.random.fork_rng():  # the caller's generator is left alone
        torch.manual_seed(config.seed)
        return ContrastiveModel(encoder or HuiduRep(config.encoder))


@torch.no_grad()
def _mix(encoder, initial, share):
    """Replace trained weights by their mean with the initial ones, which have this share of it."""
    for trained, first in zip(encoder.parameters(), initial, strict=True):
        trained.mul_(1 - share).add_(first, alpha=share)


def _provenance(config):
    """Describe the training for the file of weights: all but where the data and the teacher lay."""
    values = {name: value for name, value in asdict(config).items() if name not in ("data", "encoder")}
    teacher = config.training.teacher
    values["training"]["teacher"] = teacher and Path(teacher).name
    return json.dumps(values)


def prepare_data(config, folder, recordings=None, verbose=False):
    """Prepare spikes to train on, and others to validate with.

    Parameters
    ----------
    config : PretrainingConfig
    folder : Path
        Keeps the spikes; what is there already is kept.
    recordings : dict of str to BaseRecording, optional
    verbose : bool
        Show progress bars.

    Returns
    -------
    training, validation : list of SpikeSet
        Validation recordings are simulated with another seed. Where the recordings are sorted, a part of the time of
        each is held out. Without both the last recordings with a sorting are set aside.

    Raises
    ------
    ValueError
        If there is no spike.
    """
    window, n_channels, data = config.encoder.window, config.encoder.n_channels, config.data
    training, validation = [], []
    if data.footprints:
        for sets, seed, n in (
            (training, config.seed, config.simulation.n_recordings),
            (validation, config.seed + VALIDATION_SEED, data.validation_recordings),
        ):
            simulation = replace(config.simulation, n_recordings=n)
            sets += prepare_simulated(folder, data.footprints, simulation, window, n_channels, seed, verbose)
    if recordings and data.sort:
        own_spikes = prepare_own_units(folder, recordings, window, n_channels, config.seed, verbose).values()
        training += [own.training for own in own_spikes]
        validation += [own.held_out for own in own_spikes]
    elif recordings:
        own = prepare_recordings(folder, recordings, window, n_channels, config.seed, data.use_sorting, verbose)
        labelled = [s for s in own if s.unit.min() >= 0]
        if not data.footprints and len(labelled) > 1:
            held = labelled[-min(data.validation_recordings, len(labelled) - 1) :]
            validation += held
            own = [s for s in own if not any(s is h for h in held)]
        training += own
    if not training:
        raise ValueError("no recording has spikes to train on: give others, or longer ones")
    return training, validation


def _load_teacher(config, device):
    """Load the network to learn from, checked to see the same snippets and to give as many features; None for none."""
    if config.training.teacher is None:
        return None
    teacher, own = load_encoder(config.training.teacher, device), config.encoder
    for name in ("window", "n_channels", "n_features"):
        if getattr(teacher.config, name) != getattr(own, name):
            raise ValueError(
                f"{teacher.name} can't teach this encoder: its {name} is {getattr(teacher.config, name)}, "
                f"not {getattr(own, name)}"
            )
    return teacher.model


def _train(model, teacher, training, validation, config, folder, device, verbose):
    """Train the model, from the last checkpoint on where there is one."""
    t = config.training
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=t.learning_rate, weight_decay=t.weight_decay
    )
    first_step = _resume(model, optimizer, folder)
    scenes = [Scenes(s, config.batch) for s in training]
    scenes = [s for s in scenes if not s.is_labelled or len(s.units)]
    log = _Log(folder)
    model.train()
    for step in trange(
        first_step, t.n_steps, initial=first_step, total=t.n_steps, desc="pretrain", disable=not verbose
    ):
        rng = np.random.default_rng([config.seed, step])  # a step's batch depends on nothing else: runs resume exactly
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, t)
        batch = draw_batch(scenes, config.batch, rng)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            losses, features = _losses(model, teacher, batch, config, rng, device)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), t.clip_norm)
        optimizer.step()
        if t.contrast_weight:
            model.update_momentum(t.momentum)
        if step % t.log_every == 0:
            log.write(step, {**losses, **_geometry_of(features, batch.label)})
        if validation and ((step + 1) % t.validate_every == 0 or step + 1 == t.n_steps):
            model.eval()
            log.write(step, {"validation_ari": validate(Encoder(model.encoder, device), validation)})
            model.encoder.requires_grad_(True)
            model.train()
        if (step + 1) % t.checkpoint_every == 0 or step + 1 == t.n_steps:
            _checkpoint(model, optimizer, step + 1, folder)
    log.close()


def _losses(model, teacher, batch, config, rng, device):
    """Compute the weighted sum of the losses and its parts, and the features (n, n_features) of the first view."""
    t = config.training
    on_device = lambda *arrays: (torch.from_numpy(a).to(device) for a in arrays)  # noqa: E731
    x, target, offsets = on_device(*make_view(batch, config.view, rng))
    label = torch.from_numpy(batch.label).to(device)
    tokens = model.encoder.tokens(x, offsets)
    features = model.encoder.represent(tokens).float()
    losses = {}
    if t.same_neuron_weight:
        losses["same_neuron"] = t.same_neuron_weight * same_neuron(features, label, t.same_neuron_temperature)
    if t.centroid_weight:
        losses["centroid"] = t.centroid_weight * own_centroid(features, label, t.centroid_temperature)
    if t.contrast_weight:
        x2, _, offsets2 = on_device(*make_view(batch, config.view, rng))
        features2 = model.encoder(x2, offsets2)
        q1, q2 = model.queries(features).float(), model.queries(features2).float()
        k1, k2 = model.keys(x, offsets).float(), model.keys(x2, offsets2).float()
        both = info_nce(q1, k2, t.contrast_temperature) + info_nce(q2, k1, t.contrast_temperature)
        losses["contrast"] = t.contrast_weight * both
    if teacher is not None:
        with torch.no_grad():
            taught = teacher(x, offsets).float()
        losses["distillation"] = t.distillation_weight * distillation(features, taught)
    if t.alpha:
        losses["reconstruction"] = t.alpha * F.mse_loss(model.encoder.reconstruct(tokens).float(), target)
    return {"loss": sum(losses.values()), **losses}, features.detach()


def _learning_rate(step, t):
    """Compute the learning rate of a step: a linear warm-up, then half a cosine down to FINAL_RATE of it."""
    if step < t.warmup_steps:
        return t.learning_rate * (step + 1) / t.warmup_steps
    progress = (step - t.warmup_steps) / max(t.n_steps - t.warmup_steps, 1)
    return t.learning_rate * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * progress)))


def _geometry_of(features, label):
    """Measure what tells whether a representation collapses, and warn where it does."""
    label = torch.from_numpy(label).to(features.device)
    rank = effective_rank(features)
    if rank < COLLAPSED_RANK:
        logger.warning("the representation collapses: its effective rank is %.1f of %d", rank, features.shape[1])
    return {"alignment": alignment(features, label), "uniformity": uniformity(features), "effective_rank": rank}


def _checkpoint(model, optimizer, step, folder):
    """Write a checkpoint, whole or not at all."""
    partial = folder / "checkpoint.partial"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, partial)
    partial.replace(folder / "checkpoint.pt")


def _resume(model, optimizer, folder):
    """Load the last checkpoint, if there is one; return the number of steps done."""
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    logger.info("resumed at step %d", state["step"])
    return state["step"]


def _claim_folder(folder, config, recordings):
    """Make the folder of a run; raise ValueError where it holds anything else, or a run that isn't ours to resume."""
    values = asdict(config)
    if recordings:
        values["recordings"] = {name: _describe(recording) for name, recording in recordings.items()}
    text, path = json.dumps(values, indent=2), folder / "config.json"
    if path.exists() and path.read_text(encoding="utf8") != text:
        raise ValueError(
            f"{folder} holds a run of another configuration or of other recordings: name another folder, or delete it"
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: name a folder")
    if not path.exists() and folder.is_dir() and {entry.name for entry in folder.iterdir()} - {"data"}:
        raise ValueError(f"{folder} exists and holds no run of training: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf8")


def _describe(recording):
    """Describe a recording well enough to tell whether a run is resumed on the same one."""
    digest = hashlib.sha256(np.ascontiguousarray(recording.get_channel_locations()).tobytes())
    digest.update(recording.get_traces(segment_index=0, end_frame=N_DESCRIBED).tobytes())
    shape = [recording.get_num_channels(), recording.get_total_samples(), float(recording.sampling_frequency)]
    return [*shape, str(recording.dtype), digest.hexdigest()[:16]]


class _Log:
    """Rows of step, name, value in `log.csv`, and the same for TensorBoard where it is installed."""

    def __init__(self, folder):
        new = not (folder / "log.csv").exists()
        self._file = open(folder / "log.csv", "a", newline="")
        self._rows = csv.writer(self._file)
        if new:
            self._rows.writerow(["step", "seconds", "name", "value"])
        self._start = time.perf_counter()
        try:  # TensorBoard is optional: the extra `pretrain` installs it
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(folder / "tensorboard")
        except ImportError:
            self._board = None

    def write(self, step, values):
        """Write the values of a step, by name."""
        for name, value in values.items():
            value = value.item() if isinstance(value, torch.Tensor) else value
            self._rows.writerow([step, round(time.perf_counter() - self._start, 1), name, round(value, 5)])
            if self._board is not None:
                self._board.add_scalar(name, value, step)
        self._file.flush()

    def close(self):
        """Close the file and TensorBoard's events."""
        self._file.close()
        if self._board is not None:
            self._board.close()
