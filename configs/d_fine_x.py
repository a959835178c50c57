# D-FINE-X, HGNetv2-B5 and a wider neck: COCO val2017 AP 55.8 (Peng et al. 2025, table 1).
_base_ = "d_fine_l.py"

model = dict(
    network=dict(
        scale=8.0,
        backbone=dict(variant="B5"),
        neck=dict(out_channels=384, ffn_dims=2048, fusion_channels=192),
    )
)
train_dataloader = dict(collate_fn=dict(sizes=[480, 512, 544, 576, 608, *[640] * 3, 672, 704, 736, 768, 800]))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.01)}))
