"""What describes a YOLO set: a data.yaml as every program writes it, an obj.data, lists of pictures."""

import pytest

from detr_kit.data.formats import find_data
from detr_kit.errors import InputError
from detr_kit.fine_tune.run import write_fine_tune_config

from ...places import TINY
from .yolo_sets import boxes, class_names, contents, pairs, picture, said, text, usual

TWO_SPLITS = {"train": (3, 6), "val": (2, 4)}
SPLITS = "train: images/train\nval: images/val\n"

WAYS = {
    "one line": "{train: images/train, val: images/val, names: [circle, square]}",
    "quoted keys": '"train": images/train\n"val": images/val\n"names": ["circle", "square"]\n',
    "text keys": f'{SPLITS}names: {{"0": circle, "1": square}}\n',
    "keys in any order": f"{SPLITS}names:\n  1: square\n  0: circle\n",
    "capitals": "Train: images/train\nVal: images/val\nNames: [circle, square]\n",
    "blanks": f"{SPLITS}names: [' circle ', \"square\\t\"]\n",
    "valid": "train: images/train\nvalid: images/val\nnames: [circle, square]\n",
    "validation": "train: images/train\nvalidation: images/val\nnames: [circle, square]\n",
    "empty test": f"{SPLITS}test:\nnames: [circle, square]\n",
    "no test": f"{SPLITS}test: null\nnames: [circle, square]\n",
    "lists": "train: [images/train]\nval:\n- images/val\nnames:\n- circle\n- square\n",
    "roboflow": "train: ../images/train\nval: ../images/val\nnames: [circle, square]\nroboflow:\n  a: x\n",
    "names in a file": f"{SPLITS}names: classes.names\n",
    "other keys": f"{SPLITS}names: [circle, square]\nnc: 2\ndownload: https://x.y/z\nseed: 3\n",
    "windows": "path: .\\\ntrain: images\\train\nval: .\\images\\val\nnames: [circle, square]\n",
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_ways_to_write_a_yaml_that_mean_the_same(tmp_path, name):
    usual(tmp_path, WAYS[name])
    text(tmp_path / "classes.names", "circle\nsquare\n")
    for path in (tmp_path, tmp_path / "data.yaml"):
        assert boxes(path) == TWO_SPLITS
        assert class_names(path) == ["circle", "square"]
        assert said(path) == ""


@pytest.mark.parametrize(("written", "names"), [
    ("[circle, yes]", ["circle", "yes"]), ("{0: no, 1: 007}", ["no", "007"]),
    ("[1.0, null]", ["1.0", "null"]),
    ("[2024-01-02, 0x1F]", ["2024-01-02", "0x1F"]), ("[~, 1e3]", ["~", "1e3"]),
    ("['on', Off]", ["on", "Off"]),
    ("[1_000, 12:30:00]", ["1_000", "12:30:00"]), ("[a  b, 'c\n\n  d']", ["a b", "c d"]),
])  # fmt: skip
def test_names_are_the_text_that_the_user_wrote(tmp_path, written, names):
    assert class_names(usual(tmp_path, f"{SPLITS}names: {written}\n")) == names


@pytest.mark.parametrize(("written", "message"), [
    ("names: [circle, '']", "names[1] is empty; give class 1 its name"),
    ("names: {0: circle, 1: }", "names: 1 is empty"),
    ("names: [circle, [square]]", "names[1]: ['square'] is not a name"),
    ("names: circle", "names='circle': it must be a list, or number: name"),
    ("names: {circle: 0, square: 1}", "it must be a list, or number: name"),
    ("names: {0: a, 0: b}", "'0' is there twice"),
    ('names: {0: a, "00": b}', "it must be a list, or number: name"),
    ("names: {-1: a, 0: b}", "it must be a list, or number: name"),
    ("names: []", "it must be a list, or number: name"),
    ("nc: many", "nc='many': it must be the number of classes"),
    ("names: [a, b]\nnc: -1", "nc='-1': it must be the number of classes"),
    ("names: [a, b]\nval: {a: b}", "it must be a folder, a text file of pictures, or a list of these"),
    ("names: [a, b]\ntest: images/val\ntest: images/train", "'test' is there twice"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_name(tmp_path, written, message):
    usual(tmp_path, f"train: images/train\n{written}\n")
    with pytest.raises(InputError) as error:
        find_data(tmp_path)
    assert message in str(error.value)
    assert str(tmp_path / "data.yaml") in str(error.value)


def test_a_number_of_classes_without_names_numbers_them_and_says_so(tmp_path):
    usual(tmp_path, f"{SPLITS}nc: 3\n")
    assert class_names(tmp_path) == ["class 0", "class 1", "class 2"]
    assert "data.yaml says nc: 3 and names no class" in said(tmp_path, "notes")


@pytest.mark.parametrize(("more", "message"), [
    ("nc: 5", "data.yaml: nc: 5 against 2 names; the names count"),
    ("dev: images/val", "data.yaml: dev: 'images/val' is not read; splits are train, val and test"),
    ("extra: images/val", "data.yaml: extra: 'images/val' is not read"),
    ("valid: images/train", "data.yaml: valid: 'images/train' is not read: val is there already"),
    ("test: ../test/images", "the set has no test split then"),
    ("path: /content/somewhere", "data.yaml: path: '/content/somewhere' is not here"),
])  # fmt: skip
def test_what_a_yaml_says_and_is_not_followed_is_a_warning(tmp_path, more, message, capsys):
    usual(tmp_path, f"{SPLITS}names: [circle, square]\n{more}\n")
    assert message in said(tmp_path)
    assert boxes(tmp_path) == TWO_SPLITS
    write_fine_tune_config(tmp_path, str(TINY), work_dir=tmp_path / "run")
    assert message in capsys.readouterr().out


def test_two_classes_of_one_name_are_named(tmp_path):
    usual(tmp_path, f"{SPLITS}names: [car, ' car']\n")
    assert "2 classes are named 'car'" in said(tmp_path)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_to_train_or_validate_on_that_is_not_there_is_an_error(tmp_path, split):
    usual(tmp_path, f"{SPLITS.replace(f'images/{split}', 'images/lost')}names: [circle, square]\n")
    with pytest.raises(InputError, match=rf"{split}: 'images/lost': no .*images/lost; correct it, or 'path'"):
        find_data(tmp_path)


def test_a_split_without_pictures_is_an_error_and_a_test_split_a_warning(tmp_path):
    usual(tmp_path, f"{SPLITS}test: images/test\nnames: [circle, square]\n")
    (tmp_path / "images/test").mkdir()
    assert "test: images/test: no picture there; the set has no test split then" in said(tmp_path)
    text(tmp_path / "data.yaml", "train: images/test\nval: images/val\nnames: [circle, square]\n")
    with pytest.raises(InputError, match="train: images/test: no picture there"):
        find_data(tmp_path)


@pytest.mark.parametrize("entry", [
    "/content/set/images/train", "C:\\Users\\me\\set\\images\\train", "Images/Train", "set/images/train",
])  # fmt: skip
def test_a_set_that_was_moved_or_is_spelt_in_another_case_is_found_and_said(tmp_path, entry):
    usual(tmp_path, f"train: {entry}\nval: images/val\nnames: [circle, square]\n")
    assert boxes(tmp_path) == TWO_SPLITS
    assert f"data.yaml: train: {entry!r} is not there; {tmp_path / 'images/train'} is taken" in said(tmp_path)


def test_the_end_of_a_path_never_stands_for_all_splits(tmp_path):
    usual(tmp_path, "train: /content/train/images\nval: images/val\nnames: [circle, square]\n")
    with pytest.raises(InputError, match="train: '/content/train/images': no "):
        find_data(tmp_path)


@pytest.mark.parametrize("line", [
    "images\\train\\{}.jpg", "/home/me/set/images/train/{}.jpg", "C:\\set\\images\\train\\{}.jpg",
    "images/train/{}.JPG", "data/images/train/{}.jpg", "./images/train/{}.jpg", "  images/train/{}.jpg  ",
])  # fmt: skip
def test_ways_to_write_a_list_of_pictures(tmp_path, line):
    usual(tmp_path, "train: train.txt\nval: images/val\nnames: [circle, square]\n")
    text(tmp_path / "train.txt", "\r\n".join(line.format(name) for name in "abc"))
    assert boxes(tmp_path) == TWO_SPLITS


def test_a_list_of_pictures_that_are_no_pictures_is_refused_by_line(tmp_path):
    usual(tmp_path, "train: train.txt\nval: images/val\nnames: [circle, square]\n")
    text(tmp_path / "train.txt", "images/train/a.jpg\n\nimages/train/b\n")
    with pytest.raises(
        InputError, match=r"train\.txt, line 3: 'images/train/b' is not the name of a picture"
    ):
        find_data(tmp_path)
    text(tmp_path / "train.txt", "images/train/a.jpg\nimages/train/lost.jpg\n")
    (problem,) = contents(tmp_path)["train"].problems
    assert str(problem).startswith(f"{tmp_path}/images/train/lost.jpg: no such file")


class TestWhichYaml:
    OTHER = f"{SPLITS}names: [person, car, dog]\n"
    OWN = f"{SPLITS}names: [circle, square]\n"

    @pytest.mark.parametrize("name", ["data.yaml", "data.yml", "Data.yaml"])
    def test_a_data_yaml_comes_first_and_the_other_is_named(self, tmp_path, name):
        usual(tmp_path, None)
        text(tmp_path / name, self.OWN)
        text(tmp_path / "coco.yaml", self.OTHER)
        assert class_names(tmp_path) == ["circle", "square"]
        assert said(tmp_path) == f"coco.yaml is not read: {name} describes the set"

    def test_the_only_one_that_describes_a_set_is_taken_whatever_its_name(self, tmp_path):
        usual(tmp_path, None)
        text(tmp_path / "circles.yaml", self.OWN)
        text(tmp_path / "hyp.yaml", "lr0: 0.01\nmosaic: 1.0\n")
        text(tmp_path / "yolov8.yaml", "nc: 80\nbackbone: [[1, 2]]\n")
        text(tmp_path / "a_names.yaml", "names: [other, names]\n")
        text(tmp_path / "docker.yml", "x: !Ref y\n")
        assert class_names(tmp_path) == ["circle", "square"]
        assert said(tmp_path) == ""

    def test_two_that_say_different_things_are_refused_by_name(self, tmp_path):
        usual(tmp_path, None)
        text(tmp_path / "one.yaml", self.OWN)
        text(tmp_path / "two.yml", self.OTHER)
        with pytest.raises(
            InputError, match=r"one\.yaml and two\.yml describe different data sets; give one of"
        ):
            find_data(tmp_path)
        assert class_names(tmp_path / "one.yaml") == ["circle", "square"]
        text(tmp_path / "two.yml", f"# the same\n{self.OWN}")
        assert class_names(tmp_path) == ["circle", "square"]

    def test_a_broken_one_is_named(self, tmp_path):
        usual(tmp_path, self.OWN)
        text(tmp_path / "other.yaml", "names: [a\n")
        assert "other.yaml: it cannot be read as YAML" in said(tmp_path)
        text(tmp_path / "data.yaml", "names: [a\n")
        with pytest.raises(InputError, match=r"data\.yaml: it cannot be read as YAML"):
            find_data(tmp_path)
        text(tmp_path / "data.yaml", "[" * 100_000)
        with pytest.raises(InputError, match=r"data\.yaml: it cannot be read as YAML"):
            find_data(tmp_path)

    def test_names_alone_name_the_classes_of_the_folders(self, tmp_path):
        usual(tmp_path, "names: [circle, square]\n")
        assert boxes(tmp_path) == TWO_SPLITS
        assert class_names(tmp_path) == ["circle", "square"]

    def test_a_yaml_is_text_and_runs_nothing(self, tmp_path):
        usual(tmp_path, f"{SPLITS}names: !!python/object/apply:os.system ['touch {tmp_path}/ran']\n")
        class_names(tmp_path)
        assert not (tmp_path / "ran").exists()


class TestNameFiles:
    def test_an_empty_line_between_names_is_refused(self, tmp_path):
        usual(tmp_path, None)
        text(tmp_path / "classes.txt", "circle\n\nsquare\n")
        with pytest.raises(InputError, match=r"classes\.txt: line 2 is empty; give class 1 its name"):
            find_data(tmp_path)

    def test_two_files_that_name_different_classes_are_refused(self, tmp_path):
        pairs(tmp_path, "train", "train")
        pairs(tmp_path, "val", "val", "de")
        for name, classes in (("train", "circle\nsquare\n"), ("val", "square\ncircle\n")):
            text(tmp_path / name / "classes.txt", classes)
        with pytest.raises(
            InputError, match=r"train/classes\.txt and .*val/classes\.txt: they name different"
        ):
            find_data(tmp_path)
        text(tmp_path / "classes.txt", "one\ntwo\n")
        assert class_names(tmp_path) == ["one", "two"]

    def test_darknets_description_names_its_files(self, tmp_path):
        pairs(tmp_path, "obj_train_data", "obj_train_data")
        text(
            tmp_path / "obj.data",
            "classes = 3\ntrain  = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
        )
        text(tmp_path / "train.txt", "".join(f"data/obj_train_data/{name}.jpg\n" for name in "abc"))
        with pytest.raises(InputError, match=r"obj\.data: names='data/obj\.names': no .*; correct it"):
            find_data(tmp_path)
        text(tmp_path / "obj.names", "circle\nsquare\n")
        for path in (tmp_path, tmp_path / "obj.data"):
            assert boxes(path) == {"train": (3, 6)}
            assert class_names(path) == ["circle", "square"]
            assert said(path) == "obj.data: classes: 3 against 2 names; the names count"


def test_labels_without_pictures_say_where_the_pictures_belong(tmp_path):
    text(tmp_path / "labels/a.txt")
    with pytest.raises(InputError, match="labels/ without images/; put the pictures in"):
        find_data(tmp_path)
    picture(tmp_path / "images/b.jpg")
    with pytest.raises(InputError, match="none of the 1 pictures has a label file"):
        find_data(tmp_path)
