# A narrower neck, three of the six decoder layers in evaluation, 84 epochs: COCO val2017 AP 51.9 (official repository).
_base_ = "rt_detr_v2_r50.py"

model = dict(network=dict(neck=dict(fusion_channels=128), decoder=dict(num_eval_layers=3)))
train_dataloader = dict(
    collate_fn=dict(until_epoch=81),
    dataset=dict(transforms=[dict(_base_._strong, epoch=81), *_base_._plain]),
)
train_cfg = dict(max_epochs=84)
