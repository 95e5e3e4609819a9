"""Video files and pictures: containers, decoding, time stamps."""
