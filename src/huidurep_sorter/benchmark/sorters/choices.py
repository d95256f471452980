"""Choose sorters by name, with or without parameters."""

import re
from dataclasses import dataclass

import yaml
from spikeinterface.sorters import sorter_dict

from huidurep_sorter.sorter import HuidurepSorter, split_params

PEERS = ("kilosort4", "mountainsort5", "lupin", "spykingcircus2", "tridesclous2")
SEEDS = ("seed", "whitening_seed")  # parameters that are set to 0 where a sorter's default is a random one


@dataclass(frozen=True, kw_only=True)
class SorterChoice:
    """Name a sorter, and what differs from its defaults.

    Attributes
    ----------
    label : str
        Names the choice in tables and folders.
    name : str
        SpikeInterface's name of the sorter.
    params : dict
    """

    label: str
    name: str
    params: dict


def parse_sorter(text) -> SorterChoice:
    """Read "huidurep" or "huidurep:features=svd,detect_threshold=6".

    Raises
    ------
    ValueError
        If there is no such sorter, or it is installed and has no such parameter; and of huidurep, which checks its own,
        if a value can't be used.
    """
    name, _, given = text.partition(":")
    if name not in sorter_dict:
        raise ValueError(f"no sorter {name!r}; SpikeInterface knows {', '.join(sorter_dict)}")
    pairs = [piece.partition("=") for piece in given.split(",") if piece]
    if not all(key and equals for key, equals, _ in pairs):
        raise ValueError(f"{text!r}: write parameters as NAME:PARAMETER=VALUE,PARAMETER=VALUE")
    params = {key: yaml.safe_load(value) for key, _, value in pairs}
    if sorter_dict[name].is_installed():
        defaults = sorter_dict[name].default_params()
        unknown = sorted(set(params) - set(defaults))
        if unknown:
            raise ValueError(f"{name} has no parameter {unknown[0]!r}")
        if name == HuidurepSorter.sorter_name:
            split_params(params)
        params = {key: 0 for key in SEEDS if key in defaults and defaults[key] is None} | params
    label = " ".join([name, *given.split(",")]).strip()
    return SorterChoice(label=re.sub(r'[\\/:*?"<>|]', "_", label), name=name, params=params)


def choose_sorters(texts):
    """Read several sorters, and leave out those that aren't installed.

    Parameters
    ----------
    texts : sequence of str
        As in `parse_sorter`.

    Returns
    -------
    chosen : list of SorterChoice
    skipped : dict
        Label to reason, of those that are left out.

    Raises
    ------
    ValueError
        If there is no such sorter or parameter.
    """
    chosen, skipped = [], {}
    for choice in map(parse_sorter, dict.fromkeys(texts)):
        if sorter_dict[choice.name].is_installed():
            chosen.append(choice)
        else:
            skipped[choice.label] = "not installed here"
    return chosen, skipped
