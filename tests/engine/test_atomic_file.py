"""A file is whole, or as it was."""

import pytest

from detr_kit.engine.atomic_file import whole_file


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")

    def break_off():
        with whole_file(path) as partial:
            partial.write_text("half")
            raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        break_off()
    assert path.read_text() == "before"
    with whole_file(path) as partial:
        partial.write_text("after")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "after"
