# ResNet-18-D, trained at one rate and one size: COCO val2017 AP 48.1 (official repository).
_base_ = "rt_detr_v2_r34.py"

model = dict(network=dict(backbone=dict(depth=18), decoder=dict(num_layers=3)))
train_dataloader = dict(collate_fn=dict(_delete_=True, type="detr_kit.pad_collate"))
optim_wrapper = dict(paramwise_cfg=dict(bias_decay_mult=1.0, custom_keys={"backbone": dict(lr_mult=1.0)}))
