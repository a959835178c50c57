# DN-Deformable-DETR at the same size.
_base_ = "tiny_dino.py"

model = dict(
    network=dict(
        type="DabDeformableDETR",
        denoising=dict(_delete_=True, type="Denoising", num_groups=2),
    ),
)
