"""YOLO sets as exporters and people write them: found by content, and every file of them accounted for."""

import unicodedata

import pytest
from PIL import Image

from detr_kit.check import check_data
from detr_kit.data.formats import find_data
from detr_kit.data.formats.image_files import IMAGE_SUFFIXES, list_images
from detr_kit.data.formats.split import split_name
from detr_kit.errors import InputError
from detr_kit.sources.listing import IMAGE_SUFFIXES as IMAGE_SUFFIXES_OF_SOURCES

from .yolo_sets import TWO, boxes, class_names, contents, move, pairs, picture, said, text, usual

TWO_SPLITS = {"train": (3, 6), "val": (2, 4)}


def _upper_case(folder):
    usual(folder, None)
    move(folder, "images", "Images")
    move(folder, "labels", "Labels")


def _named(images, labels):
    def write(folder):
        usual(folder, None)
        move(folder, "images", images)
        move(folder, "labels", labels)

    return write


def _roboflow_without_yaml(folder):
    pairs(folder, "train/images", "train/labels")
    pairs(folder, "valid/images", "valid/labels", "de")


def _side_by_side_in_splits(folder):
    pairs(folder, "train", "train")
    pairs(folder, "val", "val", "de")
    text(folder / "classes.txt", "circle\nsquare\n")


def _split_in_the_names_of_folders(folder):
    pairs(folder, "train_images", "train_labels")
    pairs(folder, "val_images", "val_labels", "de")


def _lists(folder):
    pairs(folder, "images", "labels", "abcde")
    text(folder / "train.txt", "".join(f"images/{name}.jpg\n" for name in "abc"))
    text(folder / "val.txt", "".join(f"./images/{name}.jpg\n" for name in "de"))


def _darknet(folder):
    pairs(folder, "obj_train_data", "obj_train_data")
    pairs(folder, "obj_valid_data", "obj_valid_data", "de")
    text(folder / "obj.names", "circle\nsquare\n")
    text(
        folder / "obj.data",
        "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n",
    )
    text(folder / "train.txt", "".join(f"data/obj_train_data/{name}.jpg\n" for name in "abc"))
    text(folder / "valid.txt", "".join(f"data/obj_valid_data/{name}.jpg\n" for name in "de"))


def _label_endings_in_capitals(folder):
    usual(folder)
    for file in sorted((folder / "labels").rglob("*.txt")):
        file.rename(file.with_suffix(".TXT"))


def _labels_keep_the_pictures_ending(folder):
    usual(folder)
    for file in sorted((folder / "labels").rglob("*.txt")):
        file.rename(file.with_suffix(".jpg.txt"))


def _linked(folder):
    usual(folder, None)
    move(folder, "images/train", "pool/pictures")
    (folder / "images/train").mkdir()
    (folder / "images/train/part").symlink_to(folder / "pool/pictures", target_is_directory=True)
    move(folder, "labels/train", "labels/inner")
    move(folder, "labels/inner", "labels/train/part")


LAYOUTS = {
    "images and labels": lambda folder: usual(folder, None), "in capitals": _upper_case,
    "image": _named("image", "label"), "imgs": _named("imgs", "labels"), "pics": _named("PICS", "annots"),
    "unheard of": _named("fotos", "labels"), "roboflow": _roboflow_without_yaml,
    "side by side": _side_by_side_in_splits, "split in the names": _split_in_the_names_of_folders,
    "lists": _lists, "darknet": _darknet, "TXT": _label_endings_in_capitals, "linked": _linked,
    "a.jpg.txt": _labels_keep_the_pictures_ending,
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read_whole(tmp_path, name):
    LAYOUTS[name](tmp_path)
    assert boxes(tmp_path) == TWO_SPLITS
    assert said(tmp_path) == ""


def test_pictures_with_their_labels_beside_them_are_one_set(tmp_path):
    """As labelImg leaves them; and FiftyOne in data/."""
    pairs(tmp_path, "", "")
    text(tmp_path / "classes.txt", "circle\nsquare\n")
    assert boxes(tmp_path) == {"all": (3, 6)}
    assert class_names(tmp_path) == ["circle", "square"]
    pairs(tmp_path / "other", "data", "data")
    text(tmp_path / "other/obj.names", "x\ny\n")
    text(tmp_path / "other/images.txt", "data/a.jpg\n")
    assert boxes(tmp_path / "other") == {"all": (3, 6)}
    assert class_names(tmp_path / "other") == ["x", "y"]


def test_pictures_with_captions_or_lists_are_no_yolo_set(tmp_path):
    picture(tmp_path / "a.jpg")
    text(tmp_path / "a.txt", "a red ball on the left of 5 others\n")
    with pytest.raises(InputError, match="no data set of a known format"):
        find_data(tmp_path)


def test_labels_beside_pictures_in_a_folder_called_images_are_read(tmp_path):
    pairs(tmp_path, "train/a", "train/a")
    pairs(tmp_path, "train/b/images", "train/b/images", "de")
    text(tmp_path / "data.yaml", "names: [circle, square]\ntrain: train\n")
    assert boxes(tmp_path) == {"train": (5, 10)}


@pytest.mark.parametrize(("file", "remedy"), [
    ("labels/train/lost.txt", "labels without a picture"),
    ("labels/training/a.txt", "labels without a picture"),
    ("images/val/lost.txt", "labels without a picture"),
])  # fmt: skip
def test_a_label_file_of_no_picture_is_an_error(tmp_path, file, remedy):
    text(usual(tmp_path) / file)
    assert f"{file}: {remedy}" in said(tmp_path, "problems")
    with pytest.raises(InputError, match=file):
        boxes(tmp_path)


def test_text_files_that_are_no_labels_are_no_error(tmp_path):
    usual(tmp_path)
    for name in ("labels/classes.txt", "labels/train/README.txt", "images/train/notes.txt"):
        text(tmp_path / name, "circle\nsquare\n")
    text(tmp_path / "labels/train/nothing.txt", "")
    assert boxes(tmp_path) == TWO_SPLITS


def test_labels_in_a_folder_of_another_name_than_the_pictures_are_an_error_that_says_where(tmp_path):
    move(usual(tmp_path), "labels/train", "labels/training")
    problems = said(tmp_path, "problems")
    assert "none of the 3 pictures of train has a label file; looked for labels/train/a.txt" in problems
    assert (
        "labels/training/a.txt: labels of no picture that is found; images/train/a.jpg has none" in problems
    )
    assert check_data(list(find_data(tmp_path).splits.values())).exit_code == 1


def test_a_set_without_any_label_file_is_refused(tmp_path):
    move(usual(tmp_path), "labels", "elsewhere")
    with pytest.raises(
        InputError, match=r"none of the 5 pictures has a label file; looked for labels/train/a\.txt"
    ):
        find_data(tmp_path)


def test_pictures_of_all_readable_types_are_read(tmp_path):
    suffixes = [
        ".avif",
        ".gif",
        ".jpe",
        ".dib",
        ".jfif",
        ".webp",
        ".tif",
        ".bmp",
        ".ppm",
        ".jp2",
        ".PNG",
        ".tga",
    ]
    writable = [suffix for suffix in suffixes if suffix.lower() in IMAGE_SUFFIXES]
    for number, suffix in enumerate(writable):
        pairs(tmp_path, "images", "labels", [f"p{number}"], suffix)
    assert len(writable) >= 11
    assert boxes(tmp_path) == {"all": (len(writable), 2 * len(writable))}
    assert IMAGE_SUFFIXES_OF_SOURCES == IMAGE_SUFFIXES


def test_a_labelled_picture_of_a_type_that_is_not_read_is_an_error_and_one_without_labels_is_named(tmp_path):
    usual(tmp_path)
    text(tmp_path / "images/train/raw.cr2", "raw")
    assert "1 pictures of a type that is not read (.cr2)" in said(tmp_path)
    text(tmp_path / "labels/train/raw.txt")
    assert "its picture raw.cr2 is of a type that is not read; convert it" in said(tmp_path, "problems")


def test_a_folder_of_pictures_that_are_not_read_says_so(tmp_path):
    usual(tmp_path)
    for file in sorted((tmp_path / "images/val").iterdir()):
        file.rename(file.with_suffix(".dng"))
    with pytest.raises(InputError, match=r"2 pictures of a type that is not read \(\.dng\)"):
        find_data(tmp_path)


def test_hidden_files_and_folders_are_nobodys_data(tmp_path):
    usual(tmp_path)
    for name in ("images/train/._a.jpg", "images/train/.ipynb_checkpoints/a.jpg", "__MACOSX/images/._a.jpg"):
        text(tmp_path / name, b"\0\5\x16\7")
    for name in ("labels/train/._a.txt", "labels/train/.ipynb_checkpoints/a-checkpoint.txt", ".DS_Store"):
        text(tmp_path / name, b"\0\5\x16\7")
    text(tmp_path / "._data.yaml", b"\0\5\x16\7")
    assert boxes(tmp_path) == TWO_SPLITS
    assert said(tmp_path) == ""
    (tmp_path / "data.yaml").unlink()
    assert boxes(tmp_path) == TWO_SPLITS


def test_a_circle_of_links_ends(tmp_path):
    usual(tmp_path)
    (tmp_path / "images/train/again").symlink_to(tmp_path / "images", target_is_directory=True)
    names = [path.name for path in list_images(tmp_path / "images")]
    assert sorted(set(names)) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]


def test_pictures_in_no_split_are_named_and_an_error_where_nothing_says_that_they_are_left_out(tmp_path):
    usual(tmp_path)
    pairs(tmp_path, "images/more", "labels/more", "xy")
    picture(tmp_path / "images/bare/z.jpg")
    warnings = said(tmp_path)
    assert "2 pictures with labels are in no split and not used, first images/more/x.jpg" in warnings
    assert "1 pictures without labels are in no split and not used, first images/bare/z.jpg" in warnings
    assert boxes(tmp_path) == TWO_SPLITS
    (tmp_path / "data.yaml").unlink()
    assert "images/more/x.jpg: in no split, and so 2 pictures" in said(tmp_path, "problems")


def test_of_two_label_files_for_a_picture_the_unread_one_is_named(tmp_path):
    usual(tmp_path)
    text(tmp_path / "images/train/a.txt", TWO)
    assert "1 pictures have two label files; labels/train/a.txt is read, images/train/a.txt is not" in said(
        tmp_path
    )
    text(tmp_path / "labels/train/a.txt", "")
    assert "this one is empty, and images/train/a.txt is not" in said(tmp_path, "problems")


def test_a_label_file_is_found_in_another_case_or_composition_but_never_taken_from_another_picture(tmp_path):
    accent = "\u00e9t\u00e9"
    picture(tmp_path / "images" / f"{accent}.jpg")
    text(tmp_path / "labels" / f"{unicodedata.normalize('NFD', accent)}.txt")
    pairs(tmp_path, "images", "labels", "a")
    picture(tmp_path / "images/A.jpg")
    picture(tmp_path / "images/B.JPG")
    text(tmp_path / "labels/b.txt")
    data = contents(tmp_path)["all"].data
    names = {i["id"]: i["file_name"] for i in data["images"]}
    assert {names[a["image_id"]] for a in data["annotations"]} == {
        f"images/{accent}.jpg",
        "images/a.jpg",
        "images/B.JPG",
    }


@pytest.mark.parametrize(("encoding", "reads"), [("utf-8-sig", True), ("utf-16", True), ("latin-1", False)])
@pytest.mark.parametrize("file", ["data.yaml", "classes.txt", "images/train.txt", "labels/train/a.txt"])
def test_text_files_have_a_mark_or_are_refused_by_name_in_one_line(tmp_path, file, encoding, reads):
    is_listed = file == "images/train.txt"
    train = file if is_listed else "images/train"
    usual(
        tmp_path,
        None if file == "classes.txt" else f"names: [circle, square]\ntrain: {train}\nval: images/val\n",
    )
    if file == "classes.txt":
        (tmp_path / file).write_text("circle\nsquare\n")
    if is_listed:
        (tmp_path / file).write_text("".join(f"train/{name}.jpg\n" for name in "abc"))
    written = (tmp_path / file).read_text() + ("" if reads else "# \u00e9")
    text(tmp_path / file, written.encode(encoding))
    if reads:
        assert boxes(tmp_path) == TWO_SPLITS
        assert class_names(tmp_path) == ["circle", "square"]
    else:
        with pytest.raises(InputError, match=r"not UTF-8 text .*save the file as UTF-8") as error:
            boxes(tmp_path)
        assert file in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "split"), [
    ("training", "train"), ("validation", "val"), ("eval", "val"), ("dev", "val"), ("evaluation", "val"),
    ("testing", "test"), ("trainval", "train"), ("val_images", "val"), ("obj_train_data", "train"),
    ("test-dev2017", "test"), ("device", None), ("values", None), ("contest", None), ("devkit", None),
    ("trainer", None),
])  # fmt: skip
def test_words_that_mean_a_split(name, split):
    assert split_name(name) == split


def test_a_picture_that_is_listed_twice_counts_once_and_is_said(tmp_path):
    usual(tmp_path, "names: [circle, square]\ntrain: [train.txt, images/train]\nval: images/val\n")
    text(tmp_path / "train.txt", "images/train/a.jpg\nimages/train/a.jpg\n")
    assert boxes(tmp_path) == TWO_SPLITS
    assert "train: 2 pictures are listed twice; each counts once" in said(tmp_path)


def test_a_picture_called_by_a_label_that_is_no_picture_is_a_problem(tmp_path):
    text(usual(tmp_path) / "images/train/a.jpg", "no picture")
    (problem,) = contents(tmp_path)["train"].problems
    assert problem.is_image
    assert "not a picture" in str(problem)
    Image.new("RGB", (4, 4)).save(tmp_path / "images/train/a.jpg")
    assert boxes(tmp_path) == TWO_SPLITS
