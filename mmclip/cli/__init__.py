"""The commands of mmclip."""
