# How every run logs, saves and validates.
default_scope = "detr_kit"
runner_type = "DetectionRunner"

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),  # and at least ten lines an epoch
    param_scheduler=dict(type="ParamSchedulerHook"),
    # The newest three checkpoints, and the best by COCO AP.
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=3, save_best="coco/AP", rule="greater"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [dict(type="CurveHook")]
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])

val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=1),
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=0, diff_rank_seed=True)  # each process draws its own augmentation and dropout
log_level = "INFO"
data_check = True  # annotations and pictures are checked before training; "strict" allows no slip
load_from = None  # weights to start from, of any known format
resume = False
