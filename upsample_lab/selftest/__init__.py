"""Metrics are tested before they are believed: known patterns are injected into images, and each metric must find them.

`carriers` has the clean images, `probes` the patterns and what each metric claims, `report` the published figures.
"""
