# DN-Deformable-DETR beside deformable_detr_160.py: the same pictures, steps, learning rates and number of queries.
_base_ = "dino_160.py"

model = dict(
    network=dict(
        type="DabDeformableDETR",
        denoising=dict(_delete_=True, type="Denoising", num_groups=5, label_noise=0.2, box_noise=0.4),
        position_encoding=dict(temperature=10000, offset=-0.5),
    ),
)
