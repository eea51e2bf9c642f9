"""Result objects in, Plotly figures out. Nothing is computed here.

Figures are drawn in the light colours of `kronviz.figures.palette` and in no other; the page's
style sheet repaints each of them in its dark counterpart, so one figure serves both themes.
"""
