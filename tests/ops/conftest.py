"""Random inputs of the op."""

import pytest
import torch

from detr_kit.ops import backend

SHAPES = ((9, 12), (5, 6), (3, 3))


def make_inputs(
    shapes=SHAPES, batch=2, queries=7, heads=3, head_dim=8, points=4, box=False, dtype=torch.float32, seed=0
):
    """Inputs of both entries, locations partly off the maps; offsets and logits in `dtype`, like value.

    Points that differ by level, as (3, 6, 3), are padded to the most of them, by logits of minus infinity.
    """
    generator = torch.Generator().manual_seed(seed)
    levels = len(shapes)
    counts = torch.tensor([points] * levels if isinstance(points, int) else points)
    points = points if isinstance(points, int) else max(points)
    exact = torch.promote_types(dtype, torch.float32)
    sizes = torch.tensor([[width, height] for height, width in shapes], dtype=exact)

    def rand(*size):
        return torch.rand(*size, generator=generator, dtype=exact)

    def randn(*size):
        return torch.randn(*size, generator=generator, dtype=exact)

    reference = rand(batch, queries, levels, 4 if box else 2)
    offsets = randn(batch, queries, heads, levels, points, 2) * 2
    logits = randn(batch, queries, heads, levels, points)
    logits[..., torch.arange(points) >= counts[:, None]] = -float("inf")
    return {
        "value": randn(batch, sum(h * w for h, w in shapes), heads, head_dim).to(dtype),
        "reference_points": reference,
        "sampling_offsets": offsets.to(dtype),
        "attention_logits": logits.to(dtype),
        "sampling_locations": reference[:, :, None, :, None, :2] + offsets / sizes[:, None],
        "attention_weights": logits.flatten(-2).softmax(-1).view_as(logits),
    }


def away_from_whole_pixels(inputs, shapes):
    """The inputs with every point moved to the middle half between two pixels, in both entries' terms.

    The interpolation has a kink at whole pixels: one ulp more or less on the way there picks another slope.
    """
    box = inputs["reference_points"].shape[-1] == 4
    sizes = inputs["reference_points"].new_tensor([[w, h] for h, w in shapes])[:, None]
    points = inputs["sampling_offsets"].shape[-2]
    step = inputs["reference_points"][:, :, None, :, None, 2:] * 0.5 / points if box else 1 / sizes
    centre = inputs["reference_points"][:, :, None, :, None, :2]
    pixels = (centre + inputs["sampling_offsets"] * step) * sizes - 0.5
    pixels = pixels.floor() + 0.25 + (pixels - pixels.floor()) / 2
    locations = (pixels + 0.5) / sizes
    offsets = ((locations - centre) / step).to(inputs["sampling_offsets"].dtype)
    return {**inputs, "sampling_locations": locations, "sampling_offsets": offsets}


@pytest.fixture(scope="session", params=["cpu", "cuda"])
def device(request):
    """Every device that the native op serves here."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    if request.param not in backend._native_devices:
        pytest.skip(f"the native operator is not built for {request.param}")
    return request.param


@pytest.fixture(scope="session")
def random_inputs(device):
    """`make_inputs` on the device, from the same numbers on each."""

    def make(*args, **kwargs):
        return {name: tensor.to(device) for name, tensor in make_inputs(*args, **kwargs).items()}

    return make
