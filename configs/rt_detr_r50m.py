# A narrower neck, and three of the six decoder layers in evaluation: COCO val2017 AP 51.3 (official repository).
_base_ = "rt_detr_r50.py"

model = dict(network=dict(neck=dict(fusion_channels=128), decoder=dict(num_eval_layers=3)))
