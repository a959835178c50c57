# Five levels, from stride 4 on: COCO val2017 AP 49.4 after 12 epochs (Zhang et al. 2023, table 1).
_base_ = "dino_r50_4scale.py"

model = dict(
    network=dict(
        backbone=dict(strides=(4, 8, 16, 32)),
        neck=dict(in_channels=[256, 512, 1024, 2048], num_levels=5),
        transformer=dict(num_levels=5),
    )
)
