"""Which file a name means: as it stands, else the only one that fits; never a guess."""

import unicodedata

import pytest

from detr_kit.data.file_names import match_names


def _folder(tmp_path, *files):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    return tmp_path


SPELLINGS = {
    "backslashes": ("a\\p 1.jpg", "a/p 1.jpg"),
    "a dot before": ("./a/p 1.jpg", "a/p 1.jpg"),
    "a leading slash": ("/a/p 1.jpg", "a/p 1.jpg"),
    "a path of Windows": ("C:\\Users\\me\\set\\a\\p 1.jpg", "a/p 1.jpg"),
    "a path of another machine": ("/home/me/set/p 1.jpg", "a/p 1.jpg"),
    "a way upwards": ("..\\..\\media\\upload\\4\\p 1.jpg", "a/p 1.jpg"),
    "the images folder itself": ("images/a/p 1.jpg", "a/p 1.jpg"),
    "a folder left out": ("p 1.jpg", "a/p 1.jpg"),
    "percent-encoded": ("a/p%201.jpg", "a/p 1.jpg"),
    "a web address": ("https://host/x/p%201.jpg?width=200", "a/p 1.jpg"),
    "Label Studio's local files": ("/data/local-files/?d=set/a/p%201.jpg", "a/p 1.jpg"),
    "case": ("A/P 1.JPG", "a/p 1.jpg"),
    "another spelling of the extension": ("a/p 1.jpeg", "a/p 1.jpg"),
    "no extension": ("a/p 1", "a/p 1.jpg"),
    "blanks around": (" a/p 1.jpg\n", "a/p 1.jpg"),
    "composed letters": ("caf\u00e9.png", unicodedata.normalize("NFD", "caf\u00e9.png")),
    "decomposed letters": (unicodedata.normalize("NFD", "\u00e9t\u00e9.png"), "\u00e9t\u00e9.png"),
    "several at once": ("D:\\set\\CAF%C3%89.PNG", unicodedata.normalize("NFD", "caf\u00e9.png")),
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_a_name_that_is_spelt_otherwise_finds_its_file_and_it_is_said(tmp_path, how):
    name, file = SPELLINGS[how]
    folder = _folder(tmp_path, file, "b/other.jpg", "a/p 1.xml", ".hidden/p 1.jpg", "._p 1.jpg")
    found = match_names(folder, [name, "b/other.jpg"])
    assert found.path(name).is_file()
    assert found.path(name).samefile(folder / file)
    assert (found.missing, found.ambiguous) == ([], {})
    if not (folder / name).is_file():
        assert found.loose == {name: file}
        assert "1 of 2 file names are spelt otherwise" in found.note()


def test_a_name_as_it_stands_comes_first_and_nothing_is_said(tmp_path):
    folder = _folder(tmp_path, "a%20b.jpg", "a b.jpg", "A B.jpg", "x\\y.jpg", "x/y.jpg")
    names = ["a%20b.jpg", "a b.jpg", "x\\y.jpg"]
    found = match_names(folder, names)
    assert [found.path(name) for name in names] == [folder / name for name in names]
    assert (found.note(), found.complaint()) == ("", "")


def test_the_folders_of_a_path_choose_between_files_of_one_name(tmp_path):
    folder = _folder(tmp_path, "train/1.jpg", "val/1.jpg")
    names = ["C:\\set\\train\\1.jpg", "C:\\set\\val\\1.jpg"]
    assert list(match_names(folder, names).loose.values()) == ["train/1.jpg", "val/1.jpg"]


AMBIGUOUS = {
    "two files that differ in case": (["p.JPG", "P.jpg"], ["p.jpg"]),
    "two folders": (["a/p.jpg", "b/p.jpg"], ["p.jpg"]),
    "two folders and a foreign path": (["a/p.jpg", "b/p.jpg"], ["/data/upload/1/p.jpg"]),
    "two types of picture": (["p.jpg", "p.png"], ["p"]),
    "two names of one file": (["p.jpg"], ["P.jpg", "p.JPG"]),
}


@pytest.mark.parametrize("how", AMBIGUOUS)
def test_what_may_be_several_files_is_refused_and_named(tmp_path, how):
    files, names = AMBIGUOUS[how]
    found = match_names(_folder(tmp_path, *files), names)
    assert sorted(found.ambiguous) == sorted(names)
    assert found.paths == {}
    assert all(repr(file) in found.complaint() for file in files)


@pytest.mark.parametrize(("files", "names"), [
    (["b/1.jpg"], ["a/1.jpg"]),  # another camera's picture
    (["b/1.jpg"], ["b/1.jpg", "c:\\a\\1.jpg"]),  # its file is another name's
    (["p1.png"], ["p1.jpg"]),  # another type: perhaps another picture, so only named
    ([], ["p1.jpg"]),
])  # fmt: skip
def test_a_file_that_may_be_another_picture_is_not_taken(tmp_path, files, names):
    found = match_names(_folder(tmp_path, *files), names)
    assert found.missing == names[-1:]
    assert f"1 of {len(names)} images are not in {tmp_path}" in found.complaint()
    assert repr(names[-1]) in found.complaint()


def test_the_file_that_is_spelt_most_like_a_missing_one_is_named(tmp_path):
    found = match_names(_folder(tmp_path, "images/street_0012.png", "x.jpg"), ["street_0012.jpg"])
    assert "near it: 'images/street_0012.png'" in found.complaint()


def test_links_in_a_circle_are_followed_once(tmp_path):
    folder = _folder(tmp_path, "a/p.JPG")
    (folder / "a" / "up").symlink_to(folder)
    assert match_names(folder, ["p.jpg"]).loose == {"p.jpg": "a/p.JPG"}
