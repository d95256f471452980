"""The report as a page: what is in it, that it needs nothing else, and that a browser opens and sorts it."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from spikeinterface.core import load
from spikeinterface.sorters import run_sorter

from huidurep_sorter.report import page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
VOID = {"meta", "img", "br", "input"}
CLICK = """<script>
for (const name of ["snr", "num spikes"]) {
  const head = [...document.querySelectorAll("#units ~ div th")].find(th => th.textContent === name);
  head.click();
  const rows = [...head.closest("table").tBodies[0].rows].map(row => row.cells[head.cellIndex].textContent);
  document.body.append(`sorted by ${name}: ${rows.join(";")}|`);
}
</script></body>"""


@pytest.fixture(scope="module")
def output(tetrode, tmp_path_factory):
    """The output folder of a sorting with its report."""
    folder = tmp_path_factory.mktemp("sorted") / "a < b & c"
    run_sorter("huidurep", tetrode[0], folder=folder, features="svd", apply_motion_correction=False)
    return folder / "sorter_output"


class Checker(HTMLParser):
    """Reads a page: its texts, the addresses of what it loads, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.images, self.ids = [], [], 0, set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.open += [] if tag in VOID else [tag]
        self.images += tag == "img"
        self.ids.add(attributes.get("id"))
        self.addresses += [attributes[name] for name in ("src", "href") if name in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_shows_each_unit_and_loads_nothing(output):
    text, sorting = (output / "report.html").read_text("utf8"), load(output / "sorting")
    checked = Checker(text)
    assert not checked.open
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in checked.addresses)
    assert checked.images == len(sorting.unit_ids) + 2 and len(sorting.unit_ids) >= 2
    assert {f"unit-{unit}" for unit in sorting.unit_ids} <= checked.ids
    assert len(text) < 1e6


def test_the_page_has_what_a_person_asks_for(output):
    text = (output / "report.html").read_text("utf8")
    for part in ("a &lt; b &amp; c", "detect_threshold", "spikeinterface 0.", "10.0 s at 25000 Hz", "<td>match</td>"):
        assert part in text
    spikes = load(output / "sorting").to_spike_vector().size
    assert f"{spikes:,} spikes" in text


def test_the_page_is_the_same_when_it_is_written_again(output):
    before = (output / "report.html").read_text("utf8")
    path = page.write_report(output)
    pictures = [re.findall(r'src="(data:[^"]+)"', text) for text in (before, path.read_text("utf8"))]
    assert pictures[0] == pictures[1]
    assert sorted(p.name for p in output.glob("*report*")) == ["report.html"]


def test_an_empty_sorting_has_a_page_that_says_why(tmp_path, tetrode, quick):
    silent = tetrode[0].frame_slice(0, 60_000).astype("float32")
    with pytest.warns(UserWarning, match="empty"):
        run_sorter("huidurep", silent, folder=tmp_path / "out", **quick | dict(detect_threshold=90.0, save_report=True))
    text = (tmp_path / "out" / "sorter_output" / "report.html").read_text("utf8")
    assert "No unit was found" in text and "the sorting is empty" in text
    assert not Checker(text).open


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_opens_and_sorts_it(output, tmp_path):
    text = (output / "report.html").read_text("utf8").replace("</body>", CLICK)
    (tmp_path / "page.html").write_text(text, encoding="utf8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
    command = [CHROMIUM, *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([*command, f"file://{tmp_path / 'page.html'}"], capture_output=True, text=True, timeout=120)
    for name in ("snr", "num spikes"):
        (values,) = re.findall(rf"sorted by {name}: ([^|$]*)\|", done.stdout)
        values = np.array([float(value.replace(",", "")) for value in values.split(";")])
        assert len(values) == len(load(output / "sorting").unit_ids) and (np.diff(values) >= 0).all()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (1234.5, "1234"), (np.nan, ""), (12_345, "12,345"), (np.int64(7), "7"), ("ch 1", "ch 1")],
)
def test_values_are_written_for_a_reader(value, text):
    assert page.as_text(value) == text


def test_the_page_shows_what_was_merged_and_split_and_how_surely(output, tmp_path):
    folder = tmp_path / "sorter_output"
    shutil.copytree(output, folder)
    kept = page.Run.load(folder).merges
    assert {"clusters"} <= set(kept["stage"]) and kept["probability"].between(0, 1).all()
    n_merged = ((kept["decision"] == "merged") & (kept["stage"] == "clusters")).sum()
    first, second, third = page.Run.load(folder).findings.channel_ids[:3]
    header = "stage,decision,probability,num_spikes,num_spikes_of_other,channel_id\n"
    (folder / "merges.csv").write_text(
        f"{header}clusters,merged,0.99,10,20,{first}\nclusters,merged,0.72,111,22,{second}\n"
        f"units,kept apart,0.44,3,4,{third}\nunits,split,0.41,50,60,{third}\n"
    )
    text = page.write_report(folder).read_text("utf8")
    assert f"{n_merged} clusters and " in (output / "report.html").read_text("utf8")
    assert "2 clusters and 0 units were merged, and 1 units split" in text
    rows = re.findall(r'<td class="text">(merged|kept apart|split)</td>.*?<td>([\d.]+)</td>', text)
    assert rows == [("kept apart", "0.44"), ("split", "0.41"), ("merged", "0.72")]  # the surest isn't listed
    (folder / "merges.csv").write_text(header)
    assert "0 clusters and 0 units were merged" in page.write_report(folder).read_text("utf8")
    (folder / "merges.csv").unlink()
    assert "What was merged and split" not in page.write_report(folder).read_text("utf8")
