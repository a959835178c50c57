# The embedded demo's set by a D-FINE smaller than N: HGNetv2-B0 without its last stage, strides 8 and 16.
_base_ = "deformable_detr_r18_shapes.py"

model = dict(
    network=dict(
        _delete_=True,
        type="DFINE",
        num_classes=5,
        num_queries=30,
        num_bins=32,
        up=0.5,
        scale=4.0,
        backbone=dict(type="HGNetv2", variant="B0", strides=(8, 16), frozen_stages=-1, norm="batch"),
        neck=dict(
            type="ElanHybridEncoder",
            in_channels=[256, 512],
            out_channels=128,
            num_heads=4,
            ffn_dims=256,
            num_layers=1,
            fusion_channels=32,
            fusion_blocks=1,
        ),
        decoder=dict(
            type="DFINEDecoder",
            embed_dims=128,
            num_heads=4,
            num_layers=2,
            ffn_dims=256,
            num_levels=2,
            num_points=[4, 4],
        ),
        denoising=dict(type="ContrastiveDenoising", num_denoising=20, padding_box=0.0, swap_crossed=True),
    ),
    criterion=dict(
        _delete_=True,
        type="SetCriterion",
        classification=dict(type="VarifocalLoss"),
        matcher=dict(type="HungarianMatcher", classification="focal", cost_class=2, cost_bbox=5, cost_giou=2),
        weight_class=1,
        weight_bbox=5,
        weight_giou=2,
        union=True,
        further=[dict(type="FineGrainedLoss", weight_fgl=0.15, weight_ddf=1.5)],
    ),
)
optim_wrapper = dict(optimizer=dict(lr=8e-4), paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0))
train_cfg = dict(max_epochs=10)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", eta_min=8e-6, by_epoch=True, T_max=10, convert_to_iter_based=True),
]
custom_hooks = [
    dict(type="CurveHook"),
    # Of the last two epochs or so: the runs are short.
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=5e-3, gamma=100, update_buffers=True),
]
