"""MuonClip, the corpus, the tokenizer, the training loop and export."""
