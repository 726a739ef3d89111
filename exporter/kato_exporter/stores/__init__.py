"""One module per store: open, ask, time out; plain typed data comes out."""
