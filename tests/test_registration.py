"""What SpikeInterface says about the sorter."""

from types import SimpleNamespace

import pytest
import spikeinterface.sorters as ss
from spikeinterface.sorters import sorterlist

import huidurep_sorter
from huidurep_sorter import HuidurepSorter, register
from huidurep_sorter.parameters import SortingParameters


def test_listed():
    assert "huidurep" in ss.available_sorters()
    assert "huidurep" in ss.installed_sorters()


def test_versions_are_printed(capsys):
    ss.print_sorter_versions()
    assert f"huidurep: {huidurep_sorter.__version__}\n" in capsys.readouterr().out + "\n"


def test_defaults_are_described_and_are_a_copy():
    defaults = ss.get_default_sorter_params("huidurep")
    assert set(defaults) == set(SortingParameters.defaults()) | {"job_kwargs"}
    descriptions = ss.get_sorter_params_description("huidurep")
    assert set(descriptions) == set(defaults)
    assert all(len(text) > 10 for text in descriptions.values())
    defaults["job_kwargs"]["n_jobs"] = 3
    assert ss.get_default_sorter_params("huidurep")["job_kwargs"] == {}
    assert "2507.17224" in ss.get_sorter_description("huidurep")


def test_register_is_idempotent():
    for _ in range(3):
        register()
    assert sorterlist.sorter_full_list.count(HuidurepSorter) == 1
    assert sorterlist.sorter_dict["huidurep"] is HuidurepSorter


def test_register_completes_a_half_registered_list():
    """As when SpikeInterface itself reads entry points into one of its two tables."""
    fake = SimpleNamespace(sorter_full_list=[HuidurepSorter], sorter_dict={})
    register(fake)
    assert fake.sorter_full_list == [HuidurepSorter] and fake.sorter_dict == {"huidurep": HuidurepSorter}


def test_class_attributes_that_spikeinterface_reads():
    assert HuidurepSorter.requires_locations and HuidurepSorter.handle_multi_segment
    assert HuidurepSorter.gpu_capability == "nvidia-optional"
    assert HuidurepSorter.is_installed()


def test_lazy_exports():
    assert set(huidurep_sorter.__all__) <= set(dir(huidurep_sorter))
    assert callable(huidurep_sorter.load_encoder) and callable(huidurep_sorter.embed_spikes)
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = huidurep_sorter.nothing_such
