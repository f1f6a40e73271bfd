"""What turns items into numbers and back, one file a kind of vocabulary:

    tokenisers    subwords: WordPiece and byte-level BPE, in the files of the library `tokenizers`
    words         whole words of instructions, one a line
    classes       names of labels, of languages, …

Each is saved into a folder with `save(folder)` and read from it with `load(folder)`.
"""
