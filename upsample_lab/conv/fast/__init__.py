"""Kernels that nobody must read to understand the rest: each computes what a chapter of `upsample_lab.conv` explains.

`blocks` is im2col and polyphase in the cache, the default; `native` PyTorch's kernels; `grey_output` the last layer of
a grey image. `layout` says in which memory format a result goes, `hardware` what the processor can do.
"""
