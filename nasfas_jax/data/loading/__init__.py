"""From records to batches: prepared folders, protocols' splits, episodes, augmentation."""
