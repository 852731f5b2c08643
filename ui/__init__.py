"""The page of the δ-mem playground: parsing of transcripts, figures, panels. Holds no tensors."""
