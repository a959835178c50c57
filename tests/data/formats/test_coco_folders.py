"""COCO found by content: which JSON is which split and where its pictures are; none is passed over."""

import json

import pytest
from PIL import Image

from detr_kit.data.formats import find_data
from detr_kit.data.formats.split import split_name
from detr_kit.errors import InputError


def write_json(file, names, leave_out=()):
    file.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "images": [
            {"id": i, "file_name": name, "width": 40, "height": 30} for i, name in enumerate(names, 1)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 2, 9, 8], "area": 72, "iscrowd": 0}
            for i in range(1, len(names) + 1)
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    file.write_text(json.dumps({key: value for key, value in data.items() if key not in leave_out}))


def write_pictures(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (40, 30)).save(folder / name, format="JPEG")


def read(path):
    """split -> (annotation file, folder of the pictures), relative to the path; and all notes."""
    splits = find_data(path).splits.values()
    found = {s.name: (str(s.source.relative_to(path)), str(s.images.relative_to(path))) for s in splits}
    return found, [note for split in splits for note in split.read().notes]


@pytest.fixture
def root(tmp_path):
    write_pictures(tmp_path / "images", ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    return tmp_path


@pytest.mark.parametrize(("train", "val"), [
    ("train.json", "val.json"), ("train.json", "eval.json"), ("train.json", "dev.json"),
    ("training.json", "validation.json"), ("my_train.json", "my_valid.json"),
    ("annotations/instances_train.json", "annotations/val.json"),
    ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
    ("Annotations/Train.json", "Annotations/Validation.json"),
    ("annotations/train.json", "dev.json"),
    ("labels/train/set.json", "labels/dev/set.json"),
    ("train/annotations.json", "valid/annotations.json"),
])  # fmt: skip
def test_names_say_the_split_wherever_the_files_lie(root, train, val):
    write_json(root / train, ["a.jpg", "b.jpg"])
    write_json(root / val, ["c.jpg", "d.jpg"])
    found, notes = read(root)
    assert found == {"train": (train, "images"), "val": (val, "images")}
    assert notes == []


@pytest.mark.parametrize(("name", "split"), [
    ("latest", None), ("device", None), ("valve", None), ("retrain", None), ("eval", "val"), ("dev", "val"),
    ("instances_val2017", "val"), ("test-images", "test"), ("training", "train"), ("Validation", "val"),
])  # fmt: skip
def test_only_whole_words_name_a_split(name, split):
    assert split_name(name) == split


LAYOUTS = {
    "FiftyOne": ("{}/labels.json", "{}/data"),
    "Roboflow": ("{}/_annotations.coco.json", "{}"),
    "COCO": ("annotations/instances_{}2017.json", "{}2017"),
    "CVAT": ("annotations/instances_{}.json", "images/{}"),
    "a folder for each": ("{}/annotations/a.json", "{}/imgs"),
    "names of one's own": ("{}.json", "photos of {}"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_split_may_have_its_own_pictures_of_the_same_names(tmp_path, layout):
    file, folder = LAYOUTS[layout]
    for split in ("train", "val"):
        write_json(tmp_path / file.format(split), ["1.jpg", "2.jpg"])
        write_pictures(tmp_path / folder.format(split), ["1.jpg", "2.jpg"])
    found, notes = read(tmp_path)
    assert found == {s: (file.format(s), folder.format(s)) for s in ("train", "val")}
    assert notes == []


class TestEveryFileIsAccountedFor:
    @pytest.fixture
    def train(self, root):
        write_json(root / "train.json", ["a.jpg", "b.jpg"])
        return root

    @pytest.mark.parametrize("missing", ["annotations", "categories"])
    @pytest.mark.parametrize("name", ["val.json", "dev.json", "annotations/instances_val.json"])
    def test_a_split_that_lacks_a_list_is_an_error_that_names_it(self, train, name, missing):
        write_json(train / name, ["c.jpg"], leave_out=[missing])
        with pytest.raises(
            InputError, match=f"{name}: '{missing}' is missing, so the val set cannot be used"
        ):
            find_data(train)

    @pytest.mark.parametrize(("name", "leave_out", "why"), [
        ("test.json", ["annotations"], "test.json is not used: it has no 'annotations'"),
        ("image_info_test2017.json", ["annotations"], "it has no 'annotations'"),
        ("captions_val.json", ["categories"], "it has no 'categories'"),
        ("person_keypoints_train.json", [], "it is another of COCO's tasks"),
        ("everything.json", [], "its name says no split"),
        ("notes.json", ["images", "annotations", "categories"], "it is no COCO file"),
        ("annotations/train.json", [], "train.json is not used: annotations/train.json is the train set"),
        ("other/val.json", [], "it is in a folder of its own"),
    ])  # fmt: skip
    def test_what_is_not_used_is_named_with_the_reason(self, train, name, leave_out, why):
        write_json(train / name, ["c.jpg"], leave_out)
        write_json(train / "val.json", ["d.jpg"])
        found, notes = read(train)
        assert list(found) == ["train", "val"]
        (note,) = notes
        assert why in note

    def test_files_of_another_format_are_named(self, train):
        (train / "xml").mkdir()
        (train / "xml" / "a.xml").write_text("<annotation><filename>a.jpg</filename></annotation>")
        assert "read as COCO; not used: the XML files in xml/" in read(train)[1][0]

    def test_hidden_files_are_nobodys(self, train):
        write_json(train / "._val.json", ["c.jpg"])
        write_json(train / ".ipynb_checkpoints" / "val-checkpoint.json", ["c.jpg"])
        assert read(train) == ({"all": ("train.json", "images")}, [])

    def test_two_files_for_one_split_are_refused(self, train):
        write_json(train / "dev.json", ["c.jpg"])
        write_json(train / "val.json", ["d.jpg"])
        with pytest.raises(InputError, match=r"dev\.json and val\.json are both val sets"):
            find_data(train)

    def test_utf_16_is_recognised(self, train):
        write_json(train / "val.json", ["c.jpg"])
        (train / "val.json").write_text((train / "val.json").read_text(), encoding="utf-16")
        assert list(find_data(train).splits) == ["train", "val"]


class TestNames:
    @pytest.mark.parametrize(
        "name", ["images\\a.jpg", "A.JPG", "%61.jpg", "C:\\me\\a.jpg", "/data/upload/1/a.jpg"]
    )
    def test_pictures_that_are_spelt_otherwise_are_found_and_it_is_said(self, root, name):
        write_json(root / "result.json", [name, "b.jpg"][:1])
        found, notes = read(root)
        assert found == {"all": ("result.json", "images")}
        assert notes
        assert "spelt otherwise" in notes[0]

    def test_a_name_that_may_be_two_files_is_an_error(self, root):
        write_pictures(root / "images", ["A.jpg"])
        write_json(root / "result.json", ["a.JPG", "b.jpg"])
        with pytest.raises(InputError, match=r"file_name 'a\.JPG': it may mean A\.jpg or a\.jpg"):
            find_data(root).splits["all"].read().refuse_problems()

    @pytest.mark.parametrize("parent", ["sets", "my_annotations"])
    def test_pictures_of_another_set_beside_are_not_taken(self, tmp_path, parent):
        tmp_path = tmp_path / parent
        write_pictures(tmp_path / "other" / "pictures", ["a.jpg"])
        write_pictures(tmp_path / "elsewhere", ["a.jpg"])
        write_json(tmp_path / "mine" / "train.json", ["a.jpg"])
        with pytest.raises(InputError, match=r"its pictures \(first \['a\.jpg'\]\) are in none of"):
            find_data(tmp_path / "mine")


class TestNothingFound:
    def test_the_inner_folder_that_would_do_is_named(self, root):
        write_json(root / "project" / "set" / "train.json", ["a.jpg"])
        write_pictures(root / "project" / "set" / "images", ["a.jpg"])
        with pytest.raises(
            InputError, match=r"no data set of a known format.*project/set is a COCO set: give that"
        ):
            find_data(root)

    def test_what_is_nearly_one_is_named(self, root):
        write_json(root / "labels.json", ["a.jpg"], leave_out=["annotations"])
        with pytest.raises(
            InputError, match=r"no data set of a known format.*labels\.json has no 'annotations'"
        ):
            find_data(root)
