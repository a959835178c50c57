# DETR's recipe in 50 epochs, ×0.1 after 40, as Conditional, DAB- and DN-DETR are trained.
_base_ = "detr_schedule.py"

train_cfg = dict(max_epochs=50)
param_scheduler = [dict(type="MultiStepLR", milestones=[40], gamma=0.1, by_epoch=True)]
