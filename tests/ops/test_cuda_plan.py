"""How the CUDA kernels cut up the work: every item exactly once, within the card's limits, past 2^31 too."""

import pytest
import torch

from . import emulation

pytestmark = pytest.mark.skipif(emulation.compiler() is None, reason="no C++ compiler")

COCO = [(100, 167), (50, 84), (25, 42), (13, 21)]
ENCODER = (1, 22223, 22223, 8, 32, 4, 4, 2)  # B, S, Q, M, D, L, P, reference_dim
DECODER = (2, 22223, 300, 8, 32, 4, 4, 2)
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    return emulation.shared_emulator(tmp_path_factory)


def rows_of(shapes):
    return sum(height * width for height, width in shapes)


@pytest.mark.parametrize(
    ("shapes", "queries", "limits"),
    [
        (COCO, None, (0, 0, 0)),
        ([(9, 17), (8, 16), (1, 1), (3, 40), (0, 7)], None, (1, 0, 0)),
        (COCO, 300, (0, 0, 0)),
        (COCO, 901, (1, 0, 0)),
        ([(1, 1)], 1, (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_item_is_done_exactly_once(emulator, shapes, queries, limits, dtype):
    rows = rows_of(shapes)
    queries = rows if queries is None else queries
    batch, heads = 2, 3
    sizes = batch, rows, queries, heads, 32, len(shapes), 4, 2
    plan = emulator.plan(sizes, shapes, dtype, limits=limits)
    image, head, places = emulator.places(sizes, shapes, 0, plan["units"], dtype, limits)
    image, head = torch.tensor(image)[:, None], torch.tensor(head)[:, None]
    items = ((image * queries + places) * heads + head)[places >= 0]
    assert torch.equal(items.sort().values, torch.arange(batch * queries * heads))


def test_an_encoder_is_tiled_and_a_decoder_is_not(emulator):
    encoder, decoder = emulator.plan(ENCODER, COCO), emulator.plan(DECODER, COCO)
    assert encoder["tiled"]
    assert encoder["split"] == 1
    assert encoder["tiles"] == 13 * 11 + 7 * 6 + 4 * 3 + 2 * 2
    assert not decoder["tiled"]
    assert decoder["group"] * decoder["split"] == 32  # a warp an item


def test_a_tile_is_a_patch_of_one_level(emulator):
    _, _, queries = emulator.places(ENCODER, COCO, 0, 8)
    patch = queries[0].view(8, 16)
    assert torch.equal(patch, torch.arange(8)[:, None] * 167 + torch.arange(16))
    assert (queries == queries[0]).all()  # the eight heads of a tile follow each other


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("head_dim", [1, 8, 10, 16, 24, 32, 64, 128, 256])
@pytest.mark.parametrize(("levels", "points"), [(1, 1), (3, 4), (3, 6), (4, 4), (4, 16), (32, 12), (1, 400)])
@pytest.mark.parametrize("queries", [1, 300, 22223])
def test_a_launch_stays_within_the_limits(emulator, dtype, backward, head_dim, levels, points, queries):
    sizes = 1, 22223, queries, 8, head_dim, levels, points, 0
    shapes = COCO[:1] * levels
    plan = emulator.plan(sizes, shapes, dtype, backward)
    assert 32 <= plan["threads"] <= 256
    assert plan["threads"] % 32 == 0
    assert 0 < plan["shared_bytes"] <= 48 * 1024
    assert plan["group"] * plan["split"] in (plan["group"], 32)
    assert plan["vector"] == 1 or head_dim % plan["vector"] == 0
    # lanes that share a row span it, or are a whole warp that goes along it
    assert plan["group"] == 32 or plan["group"] * plan["vector"] >= head_dim


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("levels", "points"), [(4, 4), (3, 4)], ids=["Deformable DETR", "RT-DETR"])
@pytest.mark.parametrize("shared_kilobytes", [163, 227], ids=["A100", "H100"])
def test_shared_memory_does_not_keep_warps_out_of_an_encoder_s_backward(
    emulator, dtype, levels, points, shared_kilobytes
):
    """Registers admit 24 warps to a multiprocessor; each block takes a kilobyte beside what it asks for."""
    rows = rows_of(COCO[:levels])
    plan = emulator.plan((1, rows, rows, 8, 32, levels, points, 2), COCO[:levels], dtype, backward=True)
    blocks = shared_kilobytes * 1024 // (plan["shared_bytes"] + 1024)
    assert blocks * plan["threads"] // 32 >= 24


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("head_dim", [16, 32])
@pytest.mark.parametrize(("shared_kilobytes", "warps"), [(163, 20), (227, 24)], ids=["A100", "H100"])
def test_a_batch_of_d_fine_s_decoder_in_training_fills_a_card(
    emulator, dtype, head_dim, shared_kilobytes, warps
):
    """Points [3, 6, 3], padded to six a level; 300 queries and 200 of denoising."""
    shapes = [(80, 80), (40, 40), (20, 20)]
    sizes = 32, rows_of(shapes), 500, 8, head_dim, 3, 6, 4
    plan = emulator.plan(sizes, shapes, dtype, backward=True)
    assert plan["split"] == 1
    assert plan["vector"] * dtype.itemsize == 16
    blocks = shared_kilobytes * 1024 // (plan["shared_bytes"] + 1024)
    assert blocks * plan["threads"] // 32 >= warps


def test_sizes_past_two_to_the_31(emulator):
    """20 million queries, 16 heads, 4 images: 1.3 · 10^9 items, 2.6 · 10^12 bytes of output."""
    shapes = [(4000, 5000)]
    rows = rows_of(shapes)
    sizes = 4, rows, rows, 16, 512, 1, 4, 2
    plan = emulator.plan(sizes, shapes)
    assert plan["tiled"]
    assert plan["units"] == 4 * 16 * 500 * 313
    image, head, queries = emulator.places(sizes, shapes, plan["units"] - 1, 1)
    assert (image, head) == ([3], [15])
    assert queries.max() == rows - 1
    # more units than a grid may have blocks: blocks take several in turn, and no unit's number overflows
    many = 4096, rows, rows, 2048, 32, 1, 4, 2
    plan = emulator.plan(many, shapes)
    assert plan["units"] == 4096 * 2048 * 500 * 313 > 2**40
    assert plan["blocks"] == 2**30
    image, head, queries = emulator.places(many, shapes, plan["units"] - 1, 1)
    assert (image, head) == ([4095], [2047])
    assert queries.max() == rows - 1


def test_the_level_of_a_point_without_a_division(emulator):
    for points in range(1, 401):
        for k in {0, points - 1, points, 2 * points - 1, 399 // points * points, 399}:
            if k < 400:
                assert emulator.library.level_of_point(points, k) == k // points
