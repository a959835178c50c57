# Five levels, from stride 4 on: COCO val2017 AP 57.3 after 12 epochs, 58.5 after 36 (the code's README).
_base_ = "dino_swin_l_4scale.py"

model = dict(
    network=dict(
        backbone=dict(strides=(4, 8, 16, 32)),
        neck=dict(in_channels=[192, 384, 768, 1536], num_levels=5),
        transformer=dict(num_levels=5),
    )
)
