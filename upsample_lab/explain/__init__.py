"""The derivation of the transposed convolution, shown with symbols: text, picture, animation, page.

`algebra` computes it exactly; the other modules only draw what it says. None of them imports torch.
"""
