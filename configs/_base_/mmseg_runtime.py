# For MMSegmentation's models. Its tools switch the hook on with --show-dir; otherwise it draws nothing.
_base_ = './default_runtime.py'
default_hooks = dict(visualization=dict(type='mmseg.SegVisualizationHook'))
