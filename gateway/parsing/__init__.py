"""Parsing request bodies without holding the event loop: small ones in place, large or intricate ones in a process of their own."""
