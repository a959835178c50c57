# Discrete sampling, for devices without grid_sample, tuned from rt_detr_v2_r18 for 36 epochs: COCO val2017 AP 47.4
# (official repository). Weights do not tell it from rt_detr_v2_r18: name it.
_base_ = "rt_detr_v2_r18.py"

model = dict(network=dict(decoder=dict(method="discrete")))
train_dataloader = dict(dataset=dict(transforms=[dict(_base_._strong, epoch=33), *_base_._plain]))
train_cfg = dict(max_epochs=36)
