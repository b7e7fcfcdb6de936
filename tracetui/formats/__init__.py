"""Files from strangers, as their formats have them: zip, npy, safetensors, GGUF and JSON, read strictly, and not what
they mean.
"""
