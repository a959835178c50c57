# Positions encoded as in Deformable DETR, as detrex has them: COCO val2017 AP 49.2 (detrex's README).
_base_ = "dino_r50_4scale_own_heads.py"

model = dict(network=dict(position_encoding=dict(temperature=10000, offset=-0.5)))
