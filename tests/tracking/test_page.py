"""The page and the pictures of tracked units."""

import pytest

from huidurep_sorter.tracking.figures import draw_neuron
from huidurep_sorter.tracking.page import make_page


def test_the_page_has_each_neuron_and_needs_no_other_file(tracked):
    page = make_page(tracked, "my <week>")
    assert "my &lt;week&gt;" in page and "<title>" in page
    assert all(f"<td>{unit}</td>" in page for unit in tracked.units["unit_id"])
    followed = tracked.units.loc[tracked.units["n_sessions"] > 1, "neuron"].unique()
    assert page.count('class="unit"') == len(followed)
    assert page.count("data:image/png;base64,") == len(followed) + 1
    assert "http" not in page and "<script src" not in page


def test_the_picture_of_a_neuron_has_a_panel_for_each_session(tracked):
    neuron = tracked.units.loc[tracked.units["n_sessions"] == 3, "neuron"].iloc[0]
    titles = [axes.get_title() for axes in draw_neuron(tracked, neuron).axes]
    assert titles[0] == "mean waveforms" and [title[:3] for title in titles[1:]] == ["mon", "tue", "wed"]
    with pytest.raises(ValueError, match="no neuron 1000"):
        draw_neuron(tracked, 1000)
