"""Makes the starter weights, from pictures of made-up parts alone."""
