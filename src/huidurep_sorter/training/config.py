"""The configuration of a pretraining run, read from YAML or JSON."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from huidurep_sorter.encoder.network import EncoderConfig
from huidurep_sorter.training.simulation import SimulationConfig
from huidurep_sorter.training.views import BatchConfig, ViewConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """`recordings`: a folder of recordings; `footprints`: files and how often each counts. One or both."""

    recordings: str | None = None
    use_sorting: bool = False  # trust the units of NAME/sorting as neurons
    footprints: dict = field(default_factory=dict)
    validation_recordings: int = 4  # simulated with another seed, or set aside


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The loss is same_neuron_weight * supervised contrast + centroid_weight * contrast with centroids
    + contrast_weight * InfoNCE + alpha * reconstruction + distillation_weight * distance from the `teacher` (weights,
    as in `load_encoder`).

    `init_share` averages the trained weights with those that training started from, of which it is the share: what
    two runs learned of different neurons carries over better to others (Wortsman et al. 2022, arXiv 2109.01903).
    """

    n_steps: int = 6000
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    same_neuron_weight: float = 1.0
    same_neuron_temperature: float = 0.1
    centroid_weight: float = 0.0
    centroid_temperature: float = 0.05
    contrast_weight: float = 0.0
    contrast_temperature: float = 0.2
    momentum: float = 0.99
    alpha: float = 0.3
    teacher: str | None = None
    distillation_weight: float = 0.0
    init_share: float = 0.0
    log_every: int = 20
    validate_every: int = 500
    checkpoint_every: int = 250

    def __post_init__(self):
        if (self.teacher is None) != (self.distillation_weight == 0):
            raise ValueError("distillation takes both: the name of a teacher, and a distillation_weight above 0")
        if not 0 <= self.init_share < 1:
            raise ValueError(f"init_share must be at least 0 and below 1, not {self.init_share}")


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    seed: int = 0
    name: str = "encoder"
    data: DataConfig = DataConfig()
    encoder: EncoderConfig = EncoderConfig()
    simulation: SimulationConfig = SimulationConfig()
    batch: BatchConfig = BatchConfig()
    view: ViewConfig = ViewConfig()
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self):
        if not self.data.recordings and not self.data.footprints:
            raise ValueError("data: name a folder of recordings, or footprint files to simulate from")


def read_config(path) -> PretrainingConfig:
    """Read a YAML or JSON file; what it doesn't name keeps its default, what it misspells is an error."""
    with open(Path(path)) as f:
        values = yaml.safe_load(f) or {}
    return _build(PretrainingConfig, values, str(path))


def _build(cls, values, where):
    known = {f.name: f for f in dataclasses.fields(cls)}
    if not isinstance(values, dict) or set(values) - set(known):
        wrong = sorted(set(values) - set(known)) if isinstance(values, dict) else values
        raise ValueError(f"{where}: {wrong} isn't known; there are {sorted(known)}")
    built = {}
    for name, value in values.items():
        default = known[name].default
        if dataclasses.is_dataclass(default):
            value = _build(type(default), value, f"{where}, {name}")
        elif isinstance(default, tuple):
            value = tuple(value)
        built[name] = value
    try:
        return cls(**built)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None
