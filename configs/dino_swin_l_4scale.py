# DINO, Swin-L trained on ImageNet-22k at 384 pixels, 12 epochs: COCO val2017 AP 56.8 (the code's README).
_base_ = "dino_r50_4scale.py"

model = dict(
    network=dict(
        backbone=dict(
            _delete_=True,
            type="TimmBackbone",
            name="swin_large_patch4_window12_384",
            strides=(8, 16, 32),
            options=dict(strict_img_size=False, always_partition=True, drop_path_rate=0.2),
            map_norm=True,
            pretrained="ms_in22k",
            checkpointing=True,
        ),
        neck=dict(in_channels=[384, 768, 1536]),
    )
)
