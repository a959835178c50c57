"""Pascal VOC found by content: folders, pictures and lists, whatever they are called."""

import re

import pytest
from PIL import Image

from detr_kit.data.formats import find_data
from detr_kit.errors import InputError

SIZE = (40, 30)


def page(name, *, label="cat", filename=None, box=(4, 5, 20, 25)):
    """An XML file's text; the corner says which picture it was made for."""
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height><depth>3</depth></size>"
    shown = f"{name}.jpg" if filename is None else filename
    thing = f"<object><name>{label}</name><bndbox>{corners}</bndbox></object>"
    return f'<annotation verified="yes"><filename>{shown}</filename>{size}{thing}</annotation>'


def write(root, files):
    """Text files as they stand; names of pictures become pictures."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            Image.new("RGB", SIZE).save(root / name, format="PNG" if name.endswith("png") else "JPEG")
        else:
            (root / name).write_text(text, encoding="utf-8")


def voc(pages, pictures, names="abc", suffix=".jpg"):
    files = {f"{pages}/{name}.xml": page(name) for name in names}
    return files | {f"{pictures}/{name}{suffix}": None for name in names}


def read(path, **arguments):
    """Each split's pictures, which are there; and all notes."""
    found = find_data(path, **arguments)
    contents = {name: (split, split.read()) for name, split in found.splits.items()}
    pictures, notes = {}, []
    for name, (split, content) in contents.items():
        data = content.refuse_problems()
        assert all((split.images / image["file_name"]).is_file() for image in data["images"])
        assert len(data["annotations"]) == len(data["images"])
        pictures[name] = [image["file_name"] for image in data["images"]]
        notes += content.notes
    return found.format, pictures, notes


LAYOUTS = {
    "raccoon": ("annotations", "images"),
    "kangaroo": ("annots", "images"),
    "VOC": ("Annotations", "JPEGImages"),
    "lower-case": ("xml", "jpegimages"),
    "labels": ("labels", "imgs"),
    "names of one's own": ("boxes", "pics"),
    "together": (".", "."),
    "pictures inside": (".", "images"),
    "inside the pictures": ("images/xml", "images"),
    "deep": ("project/data/Annotations", "project/data/Photos"),
    "subfolder of the pictures": ("Annotations", "images/all"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_set_is_found_by_content(tmp_path, layout):
    pages, pictures = LAYOUTS[layout]
    write(tmp_path, voc(pages, pictures))
    format_, found, notes = read(tmp_path)
    assert format_ == "voc"
    assert [len(names) for names in found.values()] == [3]
    assert notes == []
    assert read(tmp_path / pages)[1] == found  # the inner folder will do as well


def test_splits_are_folders_with_pictures_and_pages_in_any_arrangement(tmp_path):
    write(tmp_path / "a", voc("train", "train", "ab") | voc("valid", "valid", "cd"))
    write(tmp_path / "b", voc("train/annotations", "train/images", "ab") | voc("val/annots", "val/img", "cd"))
    write(
        tmp_path / "c",
        voc("annotations/train", "images/train", "ab") | voc("annotations/dev", "images/dev", "cd"),
    )
    for name in "abc":
        assert read(tmp_path / name)[1] == {"train": ["a.jpg", "b.jpg"], "val": ["c.jpg", "d.jpg"]}


def test_pictures_of_one_list_of_pages_may_lie_in_several_folders(tmp_path):
    write(tmp_path, voc("Annotations", "images/one", "ab") | voc("Annotations", "images/two", "cd"))
    assert read(tmp_path)[1] == {"all": ["one/a.jpg", "one/b.jpg", "two/c.jpg", "two/d.jpg"]}


def test_masks_of_the_same_names_are_not_taken_for_the_pictures(tmp_path):
    write(tmp_path, voc("Annotations", "JPEGImages", "ab") | {"SegmentationClass/a.png": None})
    assert read(tmp_path)[1] == {"all": ["a.jpg", "b.jpg"]}


def test_pictures_that_are_nowhere_are_looked_for_in_folders_that_the_message_names(tmp_path):
    write(tmp_path / "set", voc("Annotations", "elsewhere"))
    (tmp_path / "set" / "elsewhere").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"Annotations: XML files without pictures.*'a'.*--images"):
        find_data(tmp_path / "set")
    assert len(read(tmp_path / "set", images=tmp_path / "elsewhere")[1]["all"]) == 3


def test_two_sets_in_one_folder_are_refused_by_name(tmp_path):
    write(tmp_path, voc("one/Annotations", "one/JPEGImages") | voc("two/Annotations", "two/JPEGImages"))
    with pytest.raises(InputError, match="XML files in one/Annotations/ and in two/Annotations/: give one"):
        find_data(tmp_path)


def test_hidden_files_and_folders_are_nobodys(tmp_path):
    write(
        tmp_path,
        voc("Annotations", "JPEGImages") | voc("Annotations/.ipynb_checkpoints", "JPEGImages/.thumbs"),
    )
    for name in ("Annotations/._a.xml", "JPEGImages/._a.jpg", "Annotations/.DS_Store"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert read(tmp_path) == ("voc", {"all": ["a.jpg", "b.jpg", "c.jpg"]}, [])


class TestPictureOfAPage:
    def test_the_files_own_name_comes_before_what_it_says_and_disagreement_is_said(self, tmp_path):
        write(tmp_path, voc("Annotations", "JPEGImages"))
        (tmp_path / "Annotations" / "b.xml").write_text(page("b", filename="a.jpg"))
        _, found, notes = read(tmp_path)
        assert found == {"all": ["a.jpg", "b.jpg", "c.jpg"]}
        assert notes == [
            "1 XML files are not called as the picture that they name, though both are there; the picture of "
            "the file's own name is taken: b.xml says a.jpg"
        ]

    @pytest.mark.parametrize("stated", ["x.jpg", "C:\\\\me\\\\x.jpg", "/home/me/x.JPG", "x.png", "x"])
    def test_without_a_picture_of_its_name_what_it_says_counts(self, tmp_path, stated):
        write(tmp_path, voc("Annotations", "JPEGImages") | {"JPEGImages/x.jpg": None})
        write(tmp_path, {"Annotations/page_9.xml": page("x", filename=stated)})
        assert read(tmp_path)[1]["all"] == ["a.jpg", "b.jpg", "c.jpg", "x.jpg"]

    @pytest.mark.parametrize("picture", ["P0.JPG", "p0.jpeg", "p0.png"])
    def test_another_spelling_on_disk_is_found_and_said(self, tmp_path, picture):
        write(tmp_path, {"Annotations/p0.xml": page("p0"), f"JPEGImages/{picture}": None})
        _, found, notes = read(tmp_path)
        assert found == {"all": [picture]}
        assert bool(notes) == (picture == "P0.JPG")  # the page's own name is without an ending anyway

    def test_two_pages_of_one_picture_are_an_error_that_names_both(self, tmp_path):
        write(tmp_path, voc("Annotations", "JPEGImages"))
        write(tmp_path, {"Annotations/a (copy).xml": page("a")})
        with pytest.raises(
            InputError, match=r"a\.xml: <filename> 'a.jpg': a \(copy\)\.xml is of the same picture"
        ):
            read(tmp_path)

    def test_two_pictures_of_one_page_are_chosen_by_what_it_says_or_refused(self, tmp_path):
        write(tmp_path, voc("xml", "images") | {"images/a.png": None})
        assert read(tmp_path)[1]["all"] == ["a.jpg", "b.jpg", "c.jpg"]
        (tmp_path / "xml" / "a.xml").write_text(page("a", filename="z.jpg"))
        with pytest.raises(InputError, match=r"a\.jpg or a\.png: it may be of any of these"):
            read(tmp_path)

    def test_pictures_without_a_page_are_counted(self, tmp_path):
        write(tmp_path, voc("xml", "images") | {"images/extra.jpg": None})
        assert read(tmp_path)[2] == ["1 pictures have no XML file and are left out: extra.jpg"]


class TestLists:
    @pytest.fixture
    def root(self, tmp_path):
        write(tmp_path, voc("Annotations", "JPEGImages", ["my photo 1", "my photo 2", "b", "c"]))
        return tmp_path

    @pytest.mark.parametrize("line", [
        "my photo 1", "my photo 1.jpg", "JPEGImages/my photo 1.jpg", "JPEGImages\\my photo 1.jpg",
        "my photo 1 -1", "  my photo 1  ", "\ufeffmy photo 1",
    ])  # fmt: skip
    def test_a_line_is_a_name_with_its_blanks(self, root, line):
        write(
            root,
            {"ImageSets/Main/train.txt": f"{line}\nb\n\n", "ImageSets/Main/val.txt": "c\r\nmy photo 2\r\n"},
        )
        assert read(root)[1] == {"train": ["my photo 1.jpg", "b.jpg"], "val": ["c.jpg", "my photo 2.jpg"]}

    @pytest.mark.parametrize("folder", ["ImageSets/Main", "imagesets/main", "ImageSets", "."])
    def test_lists_may_lie_in_these_folders_also_for_the_inner_folder(self, root, folder):
        write(root, {f"{folder}/train.txt": "b", f"{folder}/val.txt": "c"})
        for path in (root, root / "Annotations"):
            assert read(path)[1] == {"train": ["b.jpg"], "val": ["c.jpg"]}

    def test_lists_of_single_classes_are_no_splits_and_are_named(self, root):
        names = "my photo 1  1\nmy photo 2 -1\nb  0\nc  1"
        lists = {f"ImageSets/Main/{k}.txt": names for k in ("circle_train", "circle_val", "dog_test")}
        write(
            root,
            lists | {"ImageSets/Main/train.txt": "b\nc\nmy photo 1", "ImageSets/Main/val.txt": "my photo 2"},
        )
        _, found, notes = read(root)
        assert [len(names) for names in found.values()] == [3, 1]
        assert any(
            re.match("3 lists of ImageSets/Main are of no split.*circle_train.txt", note) for note in notes
        )

    def test_pages_in_no_list_are_counted(self, root):
        write(root, {"ImageSets/Main/train.txt": "b", "ImageSets/Main/val.txt": "c"})
        assert "2 XML files are in no list and not used: my photo 1.xml" in read(root)[2]

    def test_trainval_with_val_trains_on_the_others(self, root):
        write(root, {"ImageSets/Main/trainval.txt": "b\nc\nmy photo 1", "ImageSets/Main/val.txt": "c"})
        assert read(root)[1] == {"train": ["b.jpg", "my photo 1.jpg"], "val": ["c.jpg"]}

    def test_a_test_list_without_its_files_is_left_out_and_said(self, root):
        write(root, {"ImageSets/Main/train.txt": "b\nc", "ImageSets/Main/test.txt": "x\ny"})
        _, found, notes = read(root)
        assert list(found) == ["train"]
        assert any("test.txt is not used: none of its 2 lines" in note for note in notes)

    def test_a_line_without_a_file_and_another_encoding_name_the_line(self, root):
        write(root, {"ImageSets/Main/train.txt": "b\nmy photo 3\n"})
        with pytest.raises(InputError, match=r"train\.txt, line 2: 'my photo 3' has no XML file"):
            find_data(root)
        (root / "ImageSets" / "Main" / "train.txt").write_bytes("b\nété\n".encode("latin1"))
        with pytest.raises(InputError, match=r"train\.txt, line 2: not UTF-8"):
            find_data(root)


def test_a_page_in_an_encoding_that_it_does_not_name_says_so(tmp_path):
    write(tmp_path, voc("xml", "images", "ab"))
    (tmp_path / "xml" / "a.xml").write_bytes(page("a", label="été").encode("latin1"))
    with pytest.raises(
        InputError, match=r"a\.xml: not valid XML.*not UTF-8: save it as UTF-8, or name its encoding"
    ):
        read(tmp_path)
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + page("a", label="été")
    (tmp_path / "xml" / "a.xml").write_bytes(text.encode("latin1"))
    assert read(tmp_path)[1]["all"] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(("shape", "message"), [
    ("<robndbox><cx>5</cx></robndbox>", "a rotated box without <bndbox>"),
    ("<polygon><x1>5</x1></polygon>", "a polygon without <bndbox>"),
])  # fmt: skip
def test_shapes_that_are_no_upright_boxes_are_called_by_their_names(tmp_path, shape, message):
    write(tmp_path, voc("xml", "images", "a"))
    text = re.sub("<bndbox>.*</bndbox>", shape, page("a"))
    (tmp_path / "xml" / "a.xml").write_text(text)
    with pytest.raises(InputError, match=f"object 1: {message}"):
        read(tmp_path)
