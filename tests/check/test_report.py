"""What a check prints and writes for people."""

import io
import json
import re

import pytest
from PIL import Image
from rich.console import Console

from detr_kit.check import check_data, write_html
from detr_kit.cli import main
from detr_kit.data.formats import find_data

NAMES = ["light[red]", "bolt [/M8]", ":smile:", "<b>bold</b>", *(f"kind {i}" for i in range(26))]


@pytest.fixture
def odd_set(tmp_path):
    """One picture, thirty classes of which the i-th has i boxes, names that look like markup, one bad box."""
    folder = tmp_path / "odd_set"
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (64, 64), (90, 90, 90)).save(folder / "images" / "a.png")
    boxes = [(label, i) for label in range(len(NAMES)) for i in range(label)]
    annotations = [
        {"id": n, "image_id": 1, "category_id": label + 1, "bbox": [i, label, 9, 9], "area": 81, "iscrowd": 0}
        for n, (label, i) in enumerate(boxes, start=1)
    ]
    annotations[0]["bbox"] = [500, 500, 5, 5]
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES, start=1)],
    }
    (folder / "train.json").write_text(json.dumps(data))
    return folder


def printed(folder, width=120):
    report = check_data(list(find_data(folder).splits.values()), name=folder.name)
    console = Console(file=io.StringIO(), width=width, emoji=False)
    report.print(console)
    return report, console.file.getvalue()


def test_the_worst_finding_comes_first_then_the_numbers_then_the_outcome(odd_set):
    report, text = printed(odd_set)
    places = [text.index(f"({found.name})") for _, found in report.findings()]
    assert places == sorted(places)
    assert max(places) < text.index("objects per picture") < text.index("odd_set: ")
    assert text.splitlines()[-1] == f"odd_set: {report.summary()}"


def test_of_many_classes_the_ten_most_frequent_and_the_ten_rarest_are_listed(odd_set, tmp_path):
    report, text = printed(odd_set)
    listed = re.findall(r"^ *(\d+)  \S.*?  +(\d+)  +\d+ *[█ ]*$", text, re.M)
    assert [int(boxes) for _, boxes in listed[:10]] == list(range(29, 19, -1))
    assert "… 10 more" in text
    write_html(report, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    assert html.count("<td class=l>kind") + html.count("smile") == 17
    assert html.index("kind 25") < html.index("… 10 more") < html.rindex("light[red]")


def test_the_html_report_has_the_set_in_its_title_and_the_order_of_the_text(odd_set, tmp_path):
    report, _ = printed(odd_set)
    write_html(report, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    assert f"<title>detr-kit check: odd_set: {report.summary()}</title>" in html
    places = [html.index(f"({found.name})") for _, found in report.findings()]
    assert [*places, html.index("<h2>")] == sorted([*places, html.index("<h2>")])


def test_names_that_look_like_markup_are_shown_as_they_are(odd_set, tmp_path):
    report, text = printed(odd_set)
    for name in ("light[red]", "bolt [/M8]", ":smile:"):
        assert name in text
    write_html(report, tmp_path / "report.html")
    assert "&lt;b&gt;bold&lt;/b&gt;" in (tmp_path / "report.html").read_text()


def test_a_validation_split_without_objects_measures_nothing_and_is_not_to_be_learned_from(odd_set):
    data = json.loads((odd_set / "train.json").read_text())
    (odd_set / "val.json").write_text(json.dumps({**data, "annotations": []}))
    report, text = printed(odd_set)
    names = {found.name for split, found in report.findings() if split == "val"}
    assert "nothing-to-learn" not in names
    assert "nothing-to-measure" in names
    assert "nothing to learn" not in text


def test_a_pipe_gets_no_progress_bar(odd_set, capfd):
    main(["check", str(odd_set)])
    assert "reading pictures" not in "".join(capfd.readouterr())
