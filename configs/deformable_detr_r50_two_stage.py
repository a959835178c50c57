# ++ two-stage: COCO val2017 AP 46.9 (official repository).
_base_ = "deformable_detr_r50_refine.py"

model = dict(network=dict(two_stage=True))
