"""Prevalent: a navigation agent pre-trained on data that a generative model synthesised (Hao et al., CVPR 2020)."""
