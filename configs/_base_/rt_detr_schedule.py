# RT-DETR's recipe: AdamW 1e-4, backbone 1e-5, 72 epochs at one rate, 16 images a step over all GPUs, and a moving
# average of the weights. The batch's size changes from step to step.
_base_ = ["coco_square.py", "runtime.py"]

train_dataloader = dict(
    collate_fn=dict(
        type="detr_kit.multi_scale_collate",
        sizes=[480, 512, 544, 576, 608, 640, 640, 640, 672, 704, 736, 768, 800],
    ),
    dataset=dict(transforms=[*_base_._strong.transforms, *_base_._plain]),  # strong to the end
)
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="GroupedOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={"backbone": dict(lr_mult=0.1)},
    ),
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=72, val_interval=1)
param_scheduler = []
custom_hooks = [
    dict(type="CurveHook"),
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=1e-4, gamma=2000, update_buffers=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
