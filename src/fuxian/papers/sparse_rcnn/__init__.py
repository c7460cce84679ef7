"""Sparse R-CNN (Sun et al., CVPR 2021): detection with a few learned proposals, refined in six stages."""
