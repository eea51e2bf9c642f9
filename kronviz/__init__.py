"""kronviz: an explorer of byte-level token embeddings (Kronecker Embeddings, arXiv 2605.29459).

Importing this package imports nothing else; every module is loaded where it is used, so that
``kronviz.training`` runs on machines that have neither Gradio nor Plotly.
"""

__version__ = "0.2.0"
