# ResNet-34-D, trained as a whole: COCO val2017 AP 48.9 (official repository).
_base_ = "rt_detr_r50.py"

model = dict(
    channels_last=True,
    network=dict(
        backbone=dict(depth=34, frozen_stages=-1, norm="batch"),
        neck=dict(in_channels=[128, 256, 512], fusion_channels=128),
        decoder=dict(num_layers=4),
    ),
)
