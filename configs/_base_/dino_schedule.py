# DINO's recipe, "1x": AdamW 1e-4, backbone 1e-5, 12 epochs, ×0.1 after 11, 16 images a step over all GPUs.
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="GroupedOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.1)}),
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=12, val_interval=1)
param_scheduler = [dict(type="MultiStepLR", milestones=[11], gamma=0.1, by_epoch=True)]
auto_scale_lr = dict(enable=False, base_batch_size=16)
