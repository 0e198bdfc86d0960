"""A lab for one question: which upsampling layer should a decoder use?"""
