"""Copies of journals: the files of runs themselves, and the blobs they name, in another place.

``RunCopy`` says what a place holds of a run, ``bring`` copies what is new, ``FolderPlace`` and
``ObjectPlace`` are the places. Nothing is projected: what is copied are the bytes. Decision 16 says
why a folder has files that grow and a bucket has parts.
"""
