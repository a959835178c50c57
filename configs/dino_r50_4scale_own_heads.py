# Heads of their own for every decoder layer, as mmdetection and detrex have them: mmdetection's AP is 49.0.
_base_ = "dino_r50_4scale.py"

model = dict(network=dict(share_heads=False))
