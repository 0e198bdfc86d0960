"""Everything that is drawn: looks and colours, the passport's sheet, a comparison's figures, pictures of a training."""
