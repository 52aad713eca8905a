"""The workstation: images to a bundle, and what the bundle is worth. Command `mekiki-train`."""
