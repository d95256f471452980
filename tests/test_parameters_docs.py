"""`docs/parameters.md` says what the fields say."""

from dataclasses import fields
from pathlib import Path

from huidurep_sorter.parameters import SortingParameters, as_markdown

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf8") == as_markdown() + "\n", "write it anew: the page says how"


def test_the_page_has_all_of_a_parameter():
    text = as_markdown()
    for item in fields(SortingParameters):
        about = item.metadata["about"]
        (entry,) = [line for line in text.splitlines() if line.startswith(f"- **`{item.name}`**")]
        assert repr(item.default) in entry and about.text in entry and about.unit in entry and about.change in entry
    assert text.index("## Detection") < text.index("`detect_threshold`**") < text.index("## Clustering")
