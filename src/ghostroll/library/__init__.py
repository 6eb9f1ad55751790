"""Bytes become safe: identity of the library, durable files, layout, manifest, scrub."""
