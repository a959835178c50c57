# ResNet-101-D and a wider neck: COCO val2017 AP 54.3 (Zhao et al. 2024, table 2).
_base_ = "rt_detr_r50.py"

model = dict(
    network=dict(backbone=dict(depth=101), neck=dict(out_channels=384, ffn_dims=2048, fusion_channels=384))
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.01)}))
