"""The stub of the Hugging Face hub. Its address must be known before the library of the hub is imported."""

from __future__ import annotations

import os

from stub_hub import serve

SERVER = serve()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{SERVER.server_port}"
os.environ["HF_TOKEN"] = "hf_token"
# Xet, which splits files into chunks, has a protocol and servers of its own.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
