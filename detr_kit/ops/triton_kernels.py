"""The op's kernels in Triton, for GPUs whose native kernels were not built.

A program computes one head of ITEMS queries of an image; tensors are (ITEMS,) or (ITEMS, CHANNELS), CHANNELS
the next power of two. All entries are one affine map from what is given to pixels, as in ops/cuda/sampling.h:
*pixel = anchor + step · coordinate*. REFERENCE is 0 for locations in [0, 1] and weights, 2 for offsets from
points and logits, 4 for offsets in boxes and logits. `sizes` is (H0, W0, H1, W1, …), as floats, since Triton
compiles anew for whole numbers that are 1 or multiples of 16, and images come in many sizes.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def items_of_program(queries, heads, ITEMS: tl.constexpr):
    """Image, head, queries, and which of them there are: those over the edge repeat the last."""
    blocks = tl.cdiv(queries, ITEMS)
    head = tl.program_id(0) % heads
    block = tl.program_id(0) // heads
    query = (block % blocks) * ITEMS + tl.arange(0, ITEMS)
    return (block // blocks).to(tl.int64), head, tl.minimum(query, queries - 1), query < queries


@triton.jit
def softmax_terms(
    logits, first, ITEMS: tl.constexpr, TOTAL: tl.constexpr, CHUNK: tl.constexpr, COMPUTE: tl.constexpr
):
    """Each item's largest logit, and one over the sum of exp(logit - largest)."""
    k = tl.arange(0, CHUNK)[None, :]
    largest = tl.full((ITEMS,), float("-inf"), COMPUTE)
    total = tl.zeros((ITEMS,), COMPUTE)
    for begin in range(0, TOTAL, CHUNK):
        logit = tl.load(logits + first[:, None] + begin + k, mask=begin + k < TOTAL, other=float("-inf"))
        largest = tl.maximum(largest, tl.max(logit.to(COMPUTE), 1))
    for begin in range(0, TOTAL, CHUNK):
        logit = tl.load(logits + first[:, None] + begin + k, mask=begin + k < TOTAL, other=float("-inf"))
        total += tl.sum(tl.exp(logit.to(COMPUTE) - largest[:, None]), 1)
    return largest, 1 / total


@triton.jit
def frame_of_level(
    reference, at, height, width, POINTS: tl.constexpr, REFERENCE: tl.constexpr, COMPUTE: tl.constexpr
):
    """Anchor and step, (x, y) each, of the map from coordinates to pixels; the reference lies at `at`."""
    zero = tl.zeros_like(at).to(COMPUTE)
    anchor_x, anchor_y, step_x, step_y = zero - 0.5, zero - 0.5, zero + 1, zero + 1
    if REFERENCE == 0:
        step_x *= width
        step_y *= height
    else:
        anchor_x += tl.load(reference + at) * width
        anchor_y += tl.load(reference + at + 1) * height
    if REFERENCE == 4:
        step_x = tl.load(reference + at + 2) * width * 0.5 / POINTS
        step_y = tl.load(reference + at + 3) * height * 0.5 / POINTS
    return anchor_x, anchor_y, step_x, step_y


@triton.jit
def cell_of(x, y, height, width):
    """Of the pixels around a point: whether the map is near, the top left one, the fractions beyond it."""
    near = (x > -1) & (y > -1) & (x < width) & (y < height)  # false for NaN
    x, y = tl.where(near, x, 0.0), tl.where(near, y, 0.0)
    column, row = tl.floor(x), tl.floor(y)
    return near, column.to(tl.int32), row.to(tl.int32), x - column, y - row


@triton.jit
def corner_of(CORNER: tl.constexpr, near, column, row, x, y, height, width):
    """Whether the map has a corner of a cell, its row of value, and its part of the weight by x and y."""
    column += CORNER % 2
    row += CORNER // 2
    inside = near & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    across = x if CORNER % 2 == 1 else 1 - x
    down = y if CORNER // 2 == 1 else 1 - y
    return inside, (row * tl.cast(width, tl.int32) + column).to(tl.int64), across, down


@triton.jit(do_not_specialize=["rows", "queries"])
def forward_kernel(
    value, coordinates, weights, reference, output, sizes, rows, queries, heads,
    HEAD_DIM: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr, REFERENCE: tl.constexpr,
    ITEMS: tl.constexpr, CHANNELS: tl.constexpr, CHUNK: tl.constexpr, COMPUTE: tl.constexpr,
):  # fmt: skip
    image, head, query, exists = items_of_program(queries, heads, ITEMS)
    query = image * queries + query
    item = query * heads + head
    first = item * (LEVELS * POINTS)
    channel = tl.arange(0, CHANNELS)[None, :]
    wanted = channel < HEAD_DIM
    stride = heads * HEAD_DIM
    value += image * rows * stride + head * HEAD_DIM
    if REFERENCE != 0:
        largest, scale = softmax_terms(weights, first, ITEMS, LEVELS * POINTS, CHUNK, COMPUTE)
    total = tl.zeros((ITEMS, CHANNELS), COMPUTE)
    for level in tl.static_range(LEVELS):
        height, width = sizes[2 * level], sizes[2 * level + 1]
        at = (query * LEVELS + level) * REFERENCE
        anchor_x, anchor_y, step_x, step_y = frame_of_level(
            reference, at, height, width, POINTS, REFERENCE, COMPUTE
        )
        for point in range(POINTS):
            k = first + level * POINTS + point
            attention = tl.load(weights + k).to(COMPUTE)
            if REFERENCE != 0:
                attention = tl.exp(attention - largest) * scale
            x = anchor_x + step_x * tl.load(coordinates + 2 * k).to(COMPUTE)
            y = anchor_y + step_y * tl.load(coordinates + 2 * k + 1).to(COMPUTE)
            near, column, row, x, y = cell_of(x, y, height, width)
            for corner in tl.static_range(4):
                inside, at, across, down = corner_of(corner, near, column, row, x, y, height, width)
                weight = attention * across * down
                # What has no weight is not read, so that NaN and Inf there cannot leak in as 0 · NaN.
                counts = inside & (weight != 0)
                read = tl.load(
                    value + at[:, None] * stride + channel, mask=counts[:, None] & wanted, other=0.0
                )
                total += tl.where(counts, weight, 0.0)[:, None] * read.to(COMPUTE)
        value += tl.cast(height, tl.int64) * tl.cast(width, tl.int64) * stride
    tl.store(output + item[:, None] * HEAD_DIM + channel, total, mask=exists[:, None] & wanted)


@triton.jit(do_not_specialize=["rows", "queries"])
def backward_kernel(
    value, coordinates, weights, reference,
    grad_output, grad_value, grad_coordinates, grad_weights, grad_reference, sizes, rows, queries, heads,
    HEAD_DIM: tl.constexpr, LEVELS: tl.constexpr, POINTS: tl.constexpr, REFERENCE: tl.constexpr,
    ITEMS: tl.constexpr, CHANNELS: tl.constexpr, CHUNK: tl.constexpr, COMPUTE: tl.constexpr,
    REFERENCE_GRADIENT: tl.constexpr,
):  # fmt: skip
    image, head, query, exists = items_of_program(queries, heads, ITEMS)
    query = image * queries + query
    item = query * heads + head
    first = item * (LEVELS * POINTS)
    channel = tl.arange(0, CHANNELS)[None, :]
    wanted = channel < HEAD_DIM
    stride = heads * HEAD_DIM
    value += image * rows * stride + head * HEAD_DIM
    grad_value += image * rows * stride + head * HEAD_DIM
    gradient = tl.load(grad_output + item[:, None] * HEAD_DIM + channel, mask=wanted, other=0.0).to(COMPUTE)
    if REFERENCE != 0:
        largest, scale = softmax_terms(weights, first, ITEMS, LEVELS * POINTS, CHUNK, COMPUTE)
    zero = tl.zeros((ITEMS,), COMPUTE)
    mean = zero  # of the gradients of the attention, weighted with it
    for level in tl.static_range(LEVELS):
        height, width = sizes[2 * level], sizes[2 * level + 1]
        at = (query * LEVELS + level) * REFERENCE
        anchor_x, anchor_y, step_x, step_y = frame_of_level(
            reference, at, height, width, POINTS, REFERENCE, COMPUTE
        )
        to_x, to_y, to_width, to_height = zero, zero, zero, zero  # gradients of the reference
        for point in range(POINTS):
            k = first + level * POINTS + point
            attention = tl.load(weights + k).to(COMPUTE)
            if REFERENCE != 0:
                attention = tl.exp(attention - largest) * scale
            given_x = tl.load(coordinates + 2 * k).to(COMPUTE)
            given_y = tl.load(coordinates + 2 * k + 1).to(COMPUTE)
            x, y = anchor_x + step_x * given_x, anchor_y + step_y * given_y
            near, column, row, x, y = cell_of(x, y, height, width)
            slope, slope_x, slope_y = zero, zero, zero  # of the sample by attention, by pixels right and down
            for corner in tl.static_range(4):
                inside, at, across, down = corner_of(corner, near, column, row, x, y, height, width)
                place = at[:, None] * stride + channel
                read = tl.load(value + place, mask=inside[:, None] & wanted, other=0.0).to(COMPUTE)
                product = tl.sum(read * gradient, 1)
                # On a pixel's very column or row the neighbour has no weight, and its NaN no say.
                share = across * down
                slope += tl.where(share != 0, share * product, 0.0)
                slope_x += down * product if corner % 2 == 1 else -down * product
                slope_y += across * product if corner // 2 == 1 else -across * product
                weight = attention * share
                adds = inside & exists & (weight != 0)
                tl.atomic_add(
                    grad_value + place, weight[:, None] * gradient, mask=adds[:, None] & wanted, sem="relaxed"
                )
            slope_x = tl.where(attention != 0, attention * slope_x, 0.0)
            slope_y = tl.where(attention != 0, attention * slope_y, 0.0)
            tl.store(grad_coordinates + 2 * k, slope_x * step_x, mask=exists)
            tl.store(grad_coordinates + 2 * k + 1, slope_y * step_y, mask=exists)
            tl.store(grad_weights + k, slope, mask=exists)
            mean += tl.where(attention != 0, attention * slope, 0.0)
            to_x += slope_x * width
            to_y += slope_y * height
            to_width += slope_x * width * given_x * 0.5 / POINTS
            to_height += slope_y * height * given_y * 0.5 / POINTS
        if REFERENCE_GRADIENT:
            at = (item * LEVELS + level) * REFERENCE
            tl.store(grad_reference + at, to_x, mask=exists)
            tl.store(grad_reference + at + 1, to_y, mask=exists)
            if REFERENCE == 4:
                tl.store(grad_reference + at + 2, to_width, mask=exists)
                tl.store(grad_reference + at + 3, to_height, mask=exists)
        value += tl.cast(height, tl.int64) * tl.cast(width, tl.int64) * stride
        grad_value += tl.cast(height, tl.int64) * tl.cast(width, tl.int64) * stride
    if REFERENCE != 0:
        # Through the softmax to the logits. Other threads of the program may have written the slopes.
        tl.debug_barrier()
        for point in range(LEVELS * POINTS):
            k = first + point
            attention = tl.exp(tl.load(weights + k).to(COMPUTE) - largest) * scale
            slope = tl.load(grad_weights + k)
            tl.store(grad_weights + k, tl.where(attention != 0, attention * (slope - mean), 0.0), mask=exists)
