"""The S3 target: a bucket that holds pages, renditions and originals."""
