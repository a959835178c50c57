# Blood cells on two CPU cores, first part: 160 pixels, 10 minutes on one core with --amp. What came out of it:
# docs/model_zoo.md. The other variants: --cfg-options model.network.refine=False, or model.network.two_stage=True
_base_ = "../deformable_detr_r50_bccd.py"

model = dict(network=dict(refine=True, transformer=dict(dropout=0.0)))

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
