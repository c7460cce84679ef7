"""PSENet (Wang et al., CVPR 2019): scene text of any shape by progressive scale expansion."""
