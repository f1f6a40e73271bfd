"""Mappings between items and ids, one file per kind of vocabulary:

    tokenisers    subwords: WordPiece and byte-level BPE, in the file formats of the library `tokenizers`
    words         whole words of instructions, one per line
    classes       names of labels, languages, …

Each is written with `save(folder)` and read with `load(folder)`.
"""
