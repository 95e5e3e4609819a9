"""The commands of ``nasfas``, one file each."""
