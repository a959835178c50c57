# One level, stride 32: COCO val2017 AP 39.4 (official repository).
_base_ = "deformable_detr_r50.py"

model = dict(
    network=dict(
        backbone=dict(strides=(32,)),
        neck=dict(in_channels=[2048], num_levels=1),
        transformer=dict(num_levels=1),
    )
)
