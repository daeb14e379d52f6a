# For mixtures with captions: at 1e-3 they learn slower, and some seeds stay blind to colours.
_base_ = './glip_mini.py'

optim_wrapper = dict(optimizer=dict(lr=4e-4))
