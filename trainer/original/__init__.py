"""`make study`: the experiment that mekiki came from, made again on your pictures, and what it left out."""
