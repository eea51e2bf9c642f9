"""Start kronviz: ``python app.py`` serves it on http://127.0.0.1:7860; see `kronviz.app.start`."""

from __future__ import annotations

from kronviz.app.start import main

if __name__ == "__main__":
    main()
