# ModelNet40 as modelnet40_ply_hdf5_2048 (docs/en/datasets.md): the first 1024 points, already in the unit sphere
# with y up. Few-shot training as in PointCLIP: 16 clouds per class, seed 2. Validation holds out a tenth of the
# training clouds that are not trained on; the official code validates on the test set.
data_root = 'data/modelnet40_ply_hdf5_2048'
num_shots = 16
shots_seed = 2

pack = dict(type='mmclip.PackPointInputs')
train_pipeline = [
    dict(type='mmclip.LoadPoints'),
    dict(type='mmclip.FirstNPoints', num_points=1024),
    dict(type='mmclip.RandomScaleShiftPoints'),
    dict(type='mmclip.ShufflePoints'),
    pack,
]
test_pipeline = [
    dict(type='mmclip.LoadPoints'),
    dict(type='mmclip.FirstNPoints', num_points=1024),
    pack,
]
dataset = dict(
    type='mmclip.ModelNetH5',
    data_root=data_root,
    num_shots=num_shots,
    shots_seed=shots_seed,
    val_ratio=0.1)
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(split='train', pipeline=train_pipeline, **dataset))
val_dataloader = dict(
    batch_size=100,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', test_mode=True, pipeline=test_pipeline, **dataset))
test_dataloader = dict(
    batch_size=100,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='test', test_mode=True, pipeline=test_pipeline, **dataset))
val_evaluator = dict(type='mmclip.TopKAccuracy', topk=(1, 5))
test_evaluator = dict(type='mmclip.TopKAccuracy', topk=(1, 5))
val_cfg = dict()
test_cfg = dict()
