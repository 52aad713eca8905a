"""The detection family: RTMDet, trained by mmdet, exported by mmdeploy, judged as every family is.

Lyu et al., RTMDet: An Empirical Study of Designing Real-Time Object Detectors (arXiv 2212.07784).
"""
