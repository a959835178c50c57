# D-FINE-N: two levels, half the width, 128 images a step: COCO val2017 AP 42.8 (official repository).
_base_ = "d_fine_s.py"

model = dict(
    network=dict(
        backbone=dict(strides=(16, 32)),
        neck=dict(
            in_channels=[512, 1024], out_channels=128, ffn_dims=512, fusion_channels=21, fusion_blocks=2
        ),
        decoder=dict(embed_dims=128, ffn_dims=512, num_levels=2, num_points=[6, 6]),
    )
)
train_dataloader = dict(
    collate_fn=dict(_delete_=True, type="detr_kit.pad_collate"),
    dataset=dict(transforms=[dict(_base_._strong, epoch=148), *_base_._plain]),
)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
train_cfg = dict(max_epochs=160)
auto_scale_lr = dict(base_batch_size=128)
