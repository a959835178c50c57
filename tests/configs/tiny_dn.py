# DN-DETR at the same size.
_base_ = "tiny_conditional.py"

model = dict(
    network=dict(
        type="DabDETR",
        denoising=dict(type="Denoising", num_groups=2),
        transformer=dict(type="DabTransformer"),
    ),
    criterion=dict(weight_class=1),
)
