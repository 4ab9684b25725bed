"""Golden journals of sealed files: they come with what seals (see ``make.py``)."""
