"""The page of the δ-mem playground: panels and what their controls do. Holds no tensors."""
