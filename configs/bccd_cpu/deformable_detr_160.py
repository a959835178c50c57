# Blood cells at a size that a CPU core trains in ten minutes (with --amp), to compare the variants:
# --cfg-options model.network.refine=True, and model.network.two_stage=True with it. Results: docs/model_zoo.md.
_base_ = "../deformable_detr_r50_bccd.py"

model = dict(network=dict(transformer=dict(dropout=0.0)))

_test_transforms = [dict(type="ResizeShortestSide", sizes=[160], max_size=320)]
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(
        cache_gb=1,
        transforms=[
            dict(type="RandomHorizontalFlip", p=0.5),
            dict(type="RandomVerticalFlip", p=0.5),
            *_test_transforms,
        ],
    ),
)
val_dataloader = dict(dataset=dict(transforms=_test_transforms, cache_gb=1))
test_dataloader = dict(dataset=dict(transforms=_test_transforms))

train_cfg = dict(max_epochs=6, val_interval=2)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="MultiStepLR", milestones=[5], gamma=0.1, by_epoch=True),
]
