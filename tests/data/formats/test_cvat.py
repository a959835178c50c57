"""CVAT's own XML: boxes are read, what is no box is refused with the export to choose."""

import pytest
from PIL import Image

from detr_kit.data.formats import find_data
from detr_kit.errors import InputError

BOX = '<box label="cat" xtl="2" ytl="3" xbr="12" ybr="23" occluded="0"/>'


def image(name, shapes=BOX, subset=""):
    extra = f' subset="{subset}"' if subset else ""
    return f'<image id="0" name="{name}"{extra} width="40" height="30">{shapes}</image>'


@pytest.fixture
def write(tmp_path):
    def write_(images, folder="images", meta=""):
        for name in ("a.jpg", "b.jpg"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30)).save(tmp_path / folder / name)
        text = f'<?xml version="1.0"?><annotations><version>1.1</version>{meta}{images}</annotations>'
        (tmp_path / "annotations.xml").write_text(text)
        return tmp_path

    return write_


@pytest.mark.parametrize("folder", ["images", "pics", "."])
@pytest.mark.parametrize("given", ["", "annotations.xml"])
def test_boxes_are_read_from_the_folder_or_the_file(write, folder, given):
    found = find_data(write(image("a.jpg") + image("b.jpg", ""), folder) / given)
    (split,) = found.splits.values()
    data = split.read().refuse_problems()
    assert found.format == "cvat"
    assert all((split.images / i["file_name"]).is_file() for i in data["images"])
    assert [(i["width"], i["height"]) for i in data["images"]] == [(40, 30), (40, 30)]
    assert [(a["image_id"], a["bbox"]) for a in data["annotations"]] == [(1, [2, 3, 10, 20])]
    assert data["categories"] == [{"id": 1, "name": "cat"}]


def test_labels_keep_the_order_of_the_task(write):
    names = "".join(f"<label><name>{name}</name></label>" for name in ("dog", "cat"))
    found = find_data(write(image("a.jpg"), meta=f"<meta><task><labels>{names}</labels></task></meta>"))
    data = found.splits["all"].read().data
    assert [c["name"] for c in data["categories"]] == ["dog", "cat"]
    assert data["annotations"][0]["category_id"] == 2


def test_subsets_are_splits(write):
    found = find_data(write(image("a.jpg", subset="Train") + image("b.jpg", subset="Validation")))
    assert list(found.splits) == ["train", "val"]


def test_of_polygons_and_turned_boxes_the_box_around_them_is_taken_and_said(write):
    polygon = '<polygon label="cat" points="1,2;9,2.5;5,8"/>'
    turned = '<box label="cat" xtl="0" ytl="5" xbr="20" ybr="15" rotation="90"/>'
    content = find_data(write(image("a.jpg", polygon + turned))).splits["all"].read()
    boxes = [a["bbox"] for a in content.refuse_problems()["annotations"]]
    assert boxes[0] == [1, 2, 8, 6]
    assert boxes[1] == pytest.approx([5, 0, 10, 20])
    assert content.notes == ["2 polygons or turned boxes: the upright boxes around them are taken"]


BAD = {
    "a mask": (
        image("a.jpg", '<mask label="cat" rle="3"/>'),
        "1 <mask>, of which no box can be made.*COCO 1.0",
    ),
    "points": (image("a.jpg", '<points label="cat" points="1,2"/>'), "1 <points>.*Pascal VOC 1.1"),
    "a video": ('<track id="0" label="cat"/>', "CVAT for video.*COCO 1.0"),
    "nothing": ("", "no <image> in it"),
    "broken": ("<image", "not valid XML"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_box_is_refused_by_its_name_with_the_export_to_choose(write, name):
    text, message = BAD[name]
    with pytest.raises(InputError, match=rf"annotations\.xml: .*{message}"):
        find_data(write(text))


@pytest.mark.parametrize("shape", ['<box label="cat" xtl="x" ytl="3" xbr="12" ybr="23"/>',
                                   '<polygon label="cat" points="1;2"/>', '<box label="cat"/>'])  # fmt: skip
def test_a_shape_without_numbers_names_its_picture(write, shape):
    content = find_data(write(image("a.jpg", shape))).splits["all"].read()
    with pytest.raises(InputError, match=r"image 'a\.jpg', <(box|polygon)> 1: .*no numbers of a box"):
        content.refuse_problems()
