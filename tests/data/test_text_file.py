"""Text files of users, whatever program wrote them."""

import pytest

from detr_kit.data.text_file import read_text
from detr_kit.errors import InputError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("čaj\r\ncafé\n".encode(encoding))
    assert read_text(tmp_path / "a.txt") == "čaj\ncafé\n"


def test_another_encoding_is_one_message_with_the_line_and_a_remedy(tmp_path):
    (tmp_path / "a.txt").write_bytes("tea\ncafé\n".encode("latin1"))
    with pytest.raises(InputError, match=r"a\.txt, line 2: not UTF-8 text .*iconv -f latin1"):
        read_text(tmp_path / "a.txt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"b\.txt: No such file"):
        read_text(tmp_path / "b.txt")
