"""Brings bundles to boxes: push, status, roll back. Command `mekiki-deploy`."""
