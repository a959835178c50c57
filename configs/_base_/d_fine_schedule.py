# D-FINE's recipe (S): AdamW 2e-4, backbone 1e-4, 132 epochs at one rate, 32 images a step over all GPUs, a
# moving average of the weights, and plain images of one size at the end.
_base_ = ["coco_square.py", "runtime.py"]

train_dataloader = dict(
    collate_fn=dict(
        type="detr_kit.multi_scale_collate",
        sizes=[480, 512, 544, 576, 608, *[640] * 20, 672, 704, 736, 768, 800],
        until_epoch=120,
    ),
    dataset=dict(transforms=[dict(_base_._strong, epoch=120), *_base_._plain]),
)
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="GroupedOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=2e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={"backbone": dict(lr_mult=0.5)},
    ),
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=132, val_interval=1)
param_scheduler = [dict(type="LinearLR", start_factor=2e-3, by_epoch=False, begin=0, end=500)]
custom_hooks = [
    dict(type="CurveHook"),
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=1e-4, gamma=1000, update_buffers=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)
