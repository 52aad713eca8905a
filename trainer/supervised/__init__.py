"""Models that learn from good and bad images: classification with timm, segmentation with segmentation-models-pytorch.

Both share how images are held out, drawn, varied and learned from, and what is proven before a bundle is written.
"""
