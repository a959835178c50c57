# ResNet-34-D, trained as a whole for 120 epochs: COCO val2017 AP 49.9 (official repository).
_base_ = "rt_detr_v2_r50.py"

model = dict(
    channels_last=True,
    network=dict(
        backbone=dict(depth=34, frozen_stages=-1, norm="batch"),
        neck=dict(in_channels=[128, 256, 512], fusion_channels=128),
        decoder=dict(num_layers=4),
    ),
)
train_dataloader = dict(
    collate_fn=dict(until_epoch=117),
    dataset=dict(transforms=[dict(_base_._strong, epoch=117), *_base_._plain]),
)
optim_wrapper = dict(paramwise_cfg=dict(bias_decay_mult=0.0, custom_keys={"backbone": dict(lr_mult=0.5)}))
train_cfg = dict(max_epochs=120)
