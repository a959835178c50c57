# RT-DETRv2, ResNet-50-D: COCO val2017 AP 53.4 (Lv et al. 2024, table 1). RT-DETR's recipe with a warm-up, and at the
# end without strong augmentation and changing sizes.
_base_ = "rt_detr_r50.py"

model = dict(network=dict(type="RTDETRv2", decoder=dict(num_points=[4, 4, 4])))
train_dataloader = dict(
    collate_fn=dict(until_epoch=71), dataset=dict(transforms=[_base_._strong, *_base_._plain])
)
optim_wrapper = dict(paramwise_cfg=dict(bias_decay_mult=1.0))
param_scheduler = [dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=2000)]
