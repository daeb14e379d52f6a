# The background is called otherwise than in training: any unrelated word serves (paper, section 4.3).
# python tools/test.py configs/lseg/lseg_vit_l16_pascal5i_fold0_background_word.py CHECKPOINT
_base_ = './lseg_vit_l16_pascal5i_fold0.py'
test_dataloader = dict(dataset=dict(background_word='background'))
