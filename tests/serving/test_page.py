"""The demo page in a real Chromium, over the detector that comes along."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from .process import command_line, picture

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("needs Chromium (apt-get install chromium)", allow_module_level=True)


@pytest.fixture(scope="module")
def client():
    limits = ("--max-bytes", 200_000, "--max-pixels", 500_000)
    with command_line("demo", "--device", "cpu", *limits) as client:
        yield client


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, client):
    """The page, freshly opened; at the end nothing may have gone wrong in it or left this machine."""
    page = browser.new_page(viewport={"width": 1180, "height": 820})
    page.troubles, page.asked = [], []
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("request", lambda request: page.asked.append(f"{request.method} {request.url}"))
    page.goto(str(client.base_url))
    page.wait_for_selector("#samples img")
    yield page
    page.close()
    assert page.troubles == []
    home = str(client.base_url).rstrip("/")
    assert all(f" {home}" in asked or f" blob:{home}" in asked for asked in page.asked)


@pytest.fixture
def shapes_file(client, tmp_path):
    path = tmp_path / "my shapes.png"
    path.write_bytes(client.get("/samples/0.png").content)
    return path


@pytest.fixture
def expected(client, shapes_file):
    """All detections above the page's floor, as the endpoint gives them."""
    answer = client.post("/detect?score_threshold=0.05", content=shapes_file.read_bytes())
    return answer.json()["detections"]


def upload(page, path):
    page.set_input_files("#file", path)
    page.wait_for_selector("#picture:not([hidden])")


def slide(page, value):
    page.locator("#threshold").fill(str(value))


def labels(page):
    return sorted(page.locator(".box span").all_inner_texts())


def labels_of(detections, threshold):
    shown = (found for found in detections if found["score"] >= threshold)
    return sorted(f"{found['class_name']} {found['score']:.2f}" for found in shown)


def test_an_image_gets_its_boxes_where_the_objects_are(page, shapes_file, expected):
    upload(page, shapes_file)
    assert labels(page) == labels_of(expected, 0.3)
    assert len(labels(page)) >= 4
    best = expected[0]
    frame = page.locator("#image").bounding_box()
    box = page.locator(".box", has_text=f"{best['class_name']} {best['score']:.2f}").bounding_box()
    scale = frame["width"] / 128
    on_page = [box["x"] - frame["x"], box["y"] - frame["y"], box["width"], box["height"]]
    x0, y0, x1, y1 = (value * scale for value in best["box"])
    assert on_page == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=1)


def test_the_slider_chooses_without_asking_again(page, shapes_file, expected):
    upload(page, shapes_file)
    asked = len(page.asked)
    for threshold in (0.6, 0.05, 0.45):
        slide(page, threshold)
        assert labels(page) == labels_of(expected, threshold)
        assert page.locator("#list li").count() == len(labels(page))
        assert page.locator("#value").inner_text() == f"{threshold:.2f}"
    assert len(page.asked) == asked


@pytest.mark.parametrize("way", ["box", "list", "keyboard"])
def test_a_chosen_detection_is_explained(page, shapes_file, expected, way):
    upload(page, shapes_file)
    slide(page, 0.5)
    best = f"{expected[0]['class_name']} {expected[0]['score']:.2f}"
    if way == "box":
        page.locator(".box", has_text=best).click()
    elif way == "list":
        page.locator("#list button").first.click()
    else:
        page.locator("#threshold").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    page.wait_for_selector("#explanation:not([hidden]) img", timeout=60_000)
    assert expected[0]["class_name"] in page.locator("#explanation figcaption").inner_text()
    assert page.evaluate("document.querySelector('#explanation img').naturalWidth") > 500
    assert any("POST" in asked and asked.endswith("/explain?detection=0") for asked in page.asked)
    assert page.locator(".box.chosen", has_text=best).count() == 1


def test_the_json_is_what_is_shown(page, shapes_file, expected, tmp_path):
    upload(page, shapes_file)
    slide(page, 0.4)
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "my shapes.json"
    download.value.save_as(tmp_path / "saved.json")
    saved = json.loads((tmp_path / "saved.json").read_text())
    assert saved["detections"] == [found for found in expected if found["score"] >= 0.4]
    assert (saved["file"], saved["width"], saved["score_threshold"]) == ("my shapes.png", 128, 0.4)


def test_a_sample_is_one_click(page, expected):
    page.locator("#samples button").first.click()
    page.wait_for_selector(".box")
    assert labels(page) == labels_of(expected, 0.3)


def test_a_dropped_file_is_taken(page, client):
    data = page.evaluate_handle(
        """async () => {
            const blob = await (await fetch("/samples/1.png")).blob();
            const data = new DataTransfer();
            data.items.add(new File([blob], "dropped.png", {type: "image/png"}));
            return data;
        }"""
    )
    page.dispatch_event("#stage", "drop", {"dataTransfer": data})
    page.wait_for_selector(".box")
    assert "dropped.png" in page.locator("#image").get_attribute("alt")


REFUSED = {
    "notes.txt": (b"hello", "no image of a type taken here"),
    "broken.png": (b"not a picture", "no image of type JPEG"),
    "cut.png": (picture()[:-30], "damaged or cut off"),
    "heavy.png": (bytes(300_000), "the limit is"),
    "huge.png": (picture(1000, 600), "1000 × 600 pixels are more than the 500,000"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_explained_and_the_page_goes_on(page, shapes_file, tmp_path, name):
    body, message = REFUSED[name]
    (tmp_path / name).write_bytes(body)
    page.set_input_files("#file", tmp_path / name)
    page.wait_for_selector("#alert:not([hidden])")
    assert message in page.locator("#alert").inner_text()
    assert page.locator("#busy").is_hidden()
    upload(page, shapes_file)
    assert page.locator("#alert").is_hidden()
    assert page.locator(".box").count() > 0


@pytest.mark.parametrize(("width", "height"), [(900, 90), (60, 600)])
def test_a_picture_fits_the_screen_whatever_its_shape(page, tmp_path, width, height):
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(tmp_path / "odd.png")
    upload(page, tmp_path / "odd.png")
    frame = page.locator("#image").bounding_box()
    assert frame["width"] / frame["height"] == pytest.approx(width / height, rel=0.05)
    assert frame["height"] <= 820
    assert page.evaluate("document.documentElement.scrollWidth") <= 1180
