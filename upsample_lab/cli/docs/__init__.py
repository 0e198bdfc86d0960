"""Pages of the documentation that are written from the code: `scripts/generate_docs.py` runs them."""
