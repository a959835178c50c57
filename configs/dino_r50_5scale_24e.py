# "2x": 24 epochs, ×0.1 after 20: COCO val2017 AP 51.3 (the code's README).
_base_ = "dino_r50_5scale.py"

train_cfg = dict(max_epochs=24)
param_scheduler = [dict(type="MultiStepLR", milestones=[20], gamma=0.1, by_epoch=True)]
