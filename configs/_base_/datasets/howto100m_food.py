# HowTo100M's 380 000 videos of 'Food and Entertaining' with what is said in them, for post-pretraining; tested
# zero-shot on MSR-VTT 1k-A. 32 pairs on each of 8 GPUs.
_base_ = './msrvtt_9k.py'
data_root = 'data/howto100m/'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmclip.HowTo100M',
        data_root=data_root,
        ann_file='raw_caption.json',
        video_list='HowTo100M_v1.csv',
        categories=['Food and Entertaining'],
        min_seconds=10.0,
        data_prefix=dict(video='videos'),
        missing='drop',
        skip_broken=True,
        pipeline={{_base_.train_pipeline}}))
