# D-FINE-M, HGNetv2-B2: COCO val2017 AP 52.3 (Peng et al. 2025, table 1).
_base_ = "d_fine_s.py"

model = dict(
    network=dict(
        backbone=dict(variant="B2"),
        neck=dict(in_channels=[384, 768, 1536], fusion_channels=128, fusion_blocks=2),
        decoder=dict(num_layers=4),
    )
)
train_dataloader = dict(collate_fn=dict(sizes=[480, 512, 544, 576, 608, *[640] * 6, 672, 704, 736, 768, 800]))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.1)}))
