# MSR-VTT, the other training list: 7010 videos.
_base_ = './msrvtt_9k.py'
train_dataloader = dict(dataset=dict(video_list='MSRVTT_train.7k.csv'))
