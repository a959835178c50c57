"""Every kind of CUDA kernel once, on small inputs: what compute-sanitizer watches in gpu_check.sh."""

from __future__ import annotations

import torch

from detr_kit.ops import ms_deform_attn_fused, use_backend

SHAPES = [(9, 17), (5, 6), (3, 3)]
ROWS = sum(height * width for height, width in SHAPES)
# queries, heads, batch: a decoder's few; an encoder large enough for tiles
KINDS = {"decoder": (7, 3, 2), "encoder": (ROWS, 8, 12)}


def main() -> None:
    for kind, (queries, heads, batch) in KINDS.items():
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            for head_dim in (32, 64, 10):
                exact = torch.promote_types(dtype, torch.float32)
                points = (batch, queries, heads, len(SHAPES), 4)
                # Copied from the host: initcheck, which watches our kernels alone, takes that as written.
                leaves = [
                    tensor.cuda().requires_grad_()
                    for tensor in (
                        torch.randn(batch, ROWS, heads, head_dim).to(dtype),
                        torch.rand(batch, queries, len(SHAPES), 4, dtype=exact),
                        torch.randn(*points, 2).to(dtype),
                        torch.randn(points).to(dtype),
                    )
                ]
                gradient = torch.ones(batch, queries, heads * head_dim, dtype=dtype).cuda()
                for deterministic in (False, True):
                    torch.use_deterministic_algorithms(deterministic)
                    with use_backend("native"):
                        output = ms_deform_attn_fused(leaves[0], SHAPES, None, *leaves[1:])
                    torch.autograd.grad(output, leaves, gradient)
        print(kind, "done")
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
