"""Stand-ins: small synthetic datasets on disk in the exact layouts of nine real ones.

None of the nine may be passed on, so that whoever lacks one can still run everything
that is made for it: `write("oulu_npu", folder)` makes the official tree with the
official names, the annotation files of its dialect, its protocol files, and videos in
real containers, rendered by `synthetic`. Frames are small and few; the people, the
attacks and the annotations are the renderer's, and exact. What no public source
confirms about a tree was chosen; `layouts`, `lists` and `annotations` say where.

At the root of each lies `standin.json`, which says that everything there is synthetic,
how it was made, and whether it is complete.
"""

from nasfas_jax.synthetic.standins.layouts import LAYOUTS, File, Layout
from nasfas_jax.synthetic.standins.write import plan, write

__all__ = ["LAYOUTS", "File", "Layout", "plan", "write"]
