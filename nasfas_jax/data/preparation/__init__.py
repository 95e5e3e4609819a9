"""From video files to records: sampling, faces, rank pooling, label maps, packing."""
