# Everything that a resumed run has to remember, switched on: dropout, EMA, accumulation, warm-up, a worker,
# noise from all generators, checkpoints in the middle of an epoch of 6 batches.
_base_ = "tiny.py"

custom_imports = dict(imports=["tests.engine.faults"])

model = dict(network=dict(transformer=dict(dropout=0.1)))
train_dataloader = dict(
    num_workers=1,
    persistent_workers=True,
    dataset=dict(transforms=[dict(type="RandomHorizontalFlip", p=0.5), dict(type="NoiseOfAllGenerators")]),
)
optim_wrapper = dict(accumulative_counts=2)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=3, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=3, val_interval=1)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=4, max_keep_ckpts=1))
log_processor = dict(by_epoch=True)
custom_hooks = [dict(type="CurveHook"), dict(type="EMAHook", momentum=0.1)]
