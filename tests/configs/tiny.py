# The demo's config at a size for tests: seconds an epoch.
_base_ = "../../configs/deformable_detr_r18_shapes.py"

model = dict(
    network=dict(
        num_queries=12,
        backbone=dict(strides=(8,)),
        neck=dict(in_channels=[128], out_channels=32, num_levels=2),
        position_encoding=dict(num_feats=16),
        transformer=dict(
            embed_dims=32, num_heads=2, num_encoder_layers=1, num_decoder_layers=2, ffn_dims=32, num_levels=2
        ),
    )
)
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
val_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
test_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)
log_processor = dict(window_size=2)
default_hooks = dict(logger=dict(interval=2))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type="MultiStepLR", milestones=[10], gamma=0.1, by_epoch=True)]
train_cfg = dict(max_epochs=2, val_interval=1)
