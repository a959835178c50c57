"""Annotations without a box get the one around their outline."""

import pytest

from detr_kit.data.segmentation_box import box_of_segmentation


@pytest.mark.parametrize(
    ("segmentation", "box"),
    [
        ([[4, 6, 14, 6, 14, 14, 4, 14]], [4, 6, 10, 8]),
        ([4, 6, 14, 6, 14, 14, 4, 14], [4, 6, 10, 8]),
        ([[4, 6, 14, 6, 14, 14], [20, 30, 21, 30, 21, 33]], [4, 6, 17, 27]),
        ({"size": [4, 5], "counts": [5, 2, 13]}, [1, 1, 1, 2]),
        ({"size": [4, 5], "counts": [5, 2, 12]}, None),  # a pixel too few
        ({"size": [4, 5], "counts": "~~~~"}, None),
        ([[4, 6]], None),
        ("mask", None),
    ],
    ids=str,
)
def test_the_box_around_a_segmentation(segmentation, box):
    assert box_of_segmentation(segmentation) == box
