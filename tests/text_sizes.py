"""A size of text models at which every path is there and nothing takes time."""

from genera.blocks.size import TransformerShape

SIZE = TransformerShape(layers=2, hidden=16, heads=4, feed_forward=32, positions=48)
