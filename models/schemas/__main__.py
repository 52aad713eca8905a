"""Writes the schemas beside this file."""

from models.schemas import FOLDER, schemas

for name, text in schemas().items():
    (FOLDER / name).write_text(text, encoding="utf-8")
