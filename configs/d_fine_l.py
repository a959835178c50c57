# D-FINE-L, HGNetv2-B4 with its stem and norms frozen, 80 epochs: COCO val2017 AP 54.0 (Peng et al. 2025, table 1).
_base_ = "d_fine_s.py"

model = dict(
    network=dict(
        backbone=dict(variant="B4", frozen_stages=0, norm="frozen"),
        neck=dict(in_channels=[512, 1024, 2048], fusion_channels=128, fusion_blocks=3),
        decoder=dict(num_layers=6),
    )
)
train_dataloader = dict(
    collate_fn=dict(sizes=[480, 512, 544, 576, 608, *[640] * 4, 672, 704, 736, 768, 800], until_epoch=72),
    dataset=dict(transforms=[dict(_base_._strong, epoch=72), *_base_._plain]),
)
optim_wrapper = dict(
    optimizer=dict(lr=2.5e-4, weight_decay=1.25e-4),
    paramwise_cfg=dict(bias_decay_mult=1.0, custom_keys={"backbone": dict(lr_mult=0.05)}),
)
train_cfg = dict(max_epochs=80)
