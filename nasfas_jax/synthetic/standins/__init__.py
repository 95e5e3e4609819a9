"""Stand-ins: small synthetic datasets on disk in the exact layouts of nine real ones.

None of the nine may be redistributed. With a stand-in, all code for a dataset runs without
it: `write("oulu_npu", folder)` writes the official tree with the official names, annotation
files in its format, its protocol files, and videos in real containers, rendered by
`synthetic`. Frames are small and few; people, attacks and annotations are rendered and
exact. Details of a tree without a public source are assumptions, marked "chosen" in
`layouts`, `lists` and `annotations`.

`standin.json` at the root of each states that the content is synthetic, the settings, and
whether it is complete.
"""

from nasfas_jax.synthetic.standins.layouts import LAYOUTS, File, Layout
from nasfas_jax.synthetic.standins.write import plan, version_of, write

__all__ = ["LAYOUTS", "File", "Layout", "plan", "version_of", "write"]
